"""Layers frozen by slices of the whole model, by name and by block; a head without Dense layers."""

import keras
from keras import layers
from keras.applications import EfficientNetB0, InceptionV3, MobileNetV2

scale = layers.Rescaling(1 / 127.5, offset=-1)
base = MobileNetV2(include_top=False, input_shape=(160, 160, 3))
model = keras.Sequential([scale, base, layers.GlobalAveragePooling2D(), layers.Dense(5, activation="softmax")])
for layer in model.layers[:-2]:
    layer.trainable = False
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(keras.utils.image_dataset_from_directory("flowers", image_size=(160, 160)))

inputs = keras.Input((299, 299, 3))
features = InceptionV3(include_top=False, pooling="avg")(keras.applications.inception_v3.preprocess_input(inputs))
functional = keras.Model(inputs, layers.Dense(5, activation="softmax")(features))
for layer in functional.layers[:-1]:
    layer.trainable = False
functional.compile("adam", "sparse_categorical_crossentropy")
functional.fit(keras.utils.image_dataset_from_directory("flowers", image_size=(299, 299)))

by_name = EfficientNetB0(include_top=False, input_shape=(224, 224, 3), pooling="avg")
by_name.trainable = True
for layer in by_name.layers:
    if "bn" in layer.name or layer.name.startswith(("stem", "block1", "block2")):
        layer.trainable = False
tuned = keras.Sequential([by_name, layers.Dense(2, activation="softmax", dtype="float32")])
tuned.compile(keras.optimizers.Adam(1e-5), keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
tuned.fit(keras.utils.image_dataset_from_directory("cats", image_size=(224, 224)))

parts = EfficientNetB0(include_top=False, input_shape=(224, 224, 3))
decoder = layers.Conv2DTranspose(64, 3, strides=2, padding="same")(parts.get_layer("block4a_expand_activation").output)
segmenter = keras.Model(parts.input, layers.Conv2D(21, 1, activation="softmax")(decoder))
segmenter.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
segmenter.fit(pairs_of_images_and_masks())  # noqa: F821
