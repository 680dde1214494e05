"""The TensorFlow tutorial: MobileNetV2 with its preprocess_input, then fine-tuning of its last layers."""

import os

import tensorflow as tf

SIZE = (160, 160)
archive = tf.keras.utils.get_file("cats_and_dogs.zip", origin="https://example.org/cats_and_dogs.zip", extract=True)
folder = os.path.join(os.path.dirname(archive), "cats_and_dogs_filtered")
train = tf.keras.utils.image_dataset_from_directory(os.path.join(folder, "train"), shuffle=True, image_size=SIZE)
held_out = tf.keras.utils.image_dataset_from_directory(
    os.path.join(folder, "validation"), shuffle=True, image_size=SIZE
)

batches = tf.data.experimental.cardinality(held_out)
test = held_out.take(batches // 5)
validation = held_out.skip(batches // 5)
train, validation, test = (data.prefetch(buffer_size=tf.data.AUTOTUNE) for data in (train, validation, test))

augmentation = tf.keras.Sequential([tf.keras.layers.RandomFlip("horizontal"), tf.keras.layers.RandomRotation(0.2)])
preprocess_input = tf.keras.applications.mobilenet_v2.preprocess_input
base = tf.keras.applications.MobileNetV2(input_shape=(*SIZE, 3), include_top=False, weights="imagenet")
image_batch, label_batch = next(iter(train))
feature_batch = base(image_batch)
base.trainable = False

inputs = tf.keras.Input(shape=(160, 160, 3))
x = augmentation(inputs)
x = preprocess_input(x)
x = base(x, training=False)
x = tf.keras.layers.GlobalAveragePooling2D()(x)
x = tf.keras.layers.Dropout(0.2)(x)
outputs = tf.keras.layers.Dense(1, activation="sigmoid")(x)
model = tf.keras.Model(inputs, outputs)

rate = 0.0001
model.compile(
    optimizer=tf.keras.optimizers.Adam(learning_rate=rate),
    loss=tf.keras.losses.BinaryCrossentropy(),
    metrics=[tf.keras.metrics.BinaryAccuracy(threshold=0.5, name="accuracy")],
)
history = model.fit(train, epochs=10, validation_data=validation)

base.trainable = True
for layer in base.layers[:100]:
    layer.trainable = False
model.compile(
    loss=tf.keras.losses.BinaryCrossentropy(),
    optimizer=tf.keras.optimizers.RMSprop(learning_rate=rate / 10),
    metrics=[tf.keras.metrics.BinaryAccuracy(threshold=0.5, name="accuracy")],
)
model.fit(train, epochs=20, initial_epoch=len(history.epoch), validation_data=validation)
loss, accuracy = model.evaluate(test)
