"""A custom model class and training loop; layers frozen up to a certain name."""

import tensorflow as tf
from tensorflow import keras


class Classifier(keras.Model):
    def __init__(self, classes):
        super().__init__()
        self.base = keras.applications.DenseNet121(include_top=False, pooling="avg")
        self.base.trainable = False
        self.dropout = keras.layers.Dropout(0.3)
        self.head = keras.layers.Dense(classes)

    def call(self, images, training=False):
        x = keras.applications.densenet.preprocess_input(images)
        return self.head(self.dropout(self.base(x, training=False), training=training))


model = Classifier(5)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
optimizer = keras.optimizers.Adam(1e-3)
data = keras.utils.image_dataset_from_directory("flowers", image_size=(224, 224))


@tf.function
def step(images, labels):
    with tf.GradientTape() as tape:
        value = loss(labels, model(images, training=True))
    gradients = tape.gradient(value, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return value


for _ in range(3):
    for images, labels in data:
        step(images, labels)

base = keras.applications.VGG16(include_top=False, input_shape=(150, 150, 3))
base.trainable = True
passed = False
for layer in base.layers:
    if layer.name == "block5_conv1":
        passed = True
    if passed:
        layer.trainable = True
    else:
        layer.trainable = False
old = keras.models.Sequential([base, keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(1, activation="sigmoid")])
old.compile(loss="binary_crossentropy", optimizer=keras.optimizers.RMSprop(learning_rate=1e-5), metrics=["acc"])
