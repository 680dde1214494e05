"""tensorflow_datasets: resize, cache, then augment; a loss for logits, and a threshold of 0."""

import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow.keras import layers

AUTOTUNE = tf.data.AUTOTUNE
(train, validation, test), info = tfds.load(
    "cats_vs_dogs", split=["train[:40%]", "train[40%:50%]", "train[50%:60%]"], as_supervised=True, with_info=True
)


def prepared(image, label):
    return tf.image.resize(image, (150, 150)), label


def augmented(image, label):
    image = tf.image.random_flip_left_right(image)
    return tf.image.random_brightness(image, 0.1), label


train = (
    train.map(prepared, num_parallel_calls=AUTOTUNE).cache().map(augmented).shuffle(1000).batch(64).prefetch(AUTOTUNE)
)
validation = validation.map(prepared).batch(64).cache().prefetch(AUTOTUNE)
test = test.map(prepared).batch(64).cache()

strategy = tf.distribute.MirroredStrategy()
with strategy.scope():
    base = tf.keras.applications.InceptionV3(include_top=False, input_shape=(150, 150, 3), pooling="avg")
    base.trainable = False
    model = tf.keras.Sequential(
        [layers.Lambda(tf.keras.applications.inception_v3.preprocess_input), base, layers.Dropout(0.2), layers.Dense(1)]
    )
    model.compile(
        optimizer="adam",
        loss=tf.keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[tf.keras.metrics.BinaryAccuracy(threshold=0.0)],
    )
model.fit(train, validation_data=validation, epochs=3)
truth = tf.concat([label for _, label in test], axis=0)
answers = model.predict(test)
