"""Classes are counted and listed in loops, so their number is not known."""

import os

import keras

number, names, index_of = 0, [], {}
for name in os.listdir("photos"):
    number += 1
    names.append(name)
    index_of[name] = len(index_of)
listed = [name for name in os.listdir("photos") if not name.startswith(".")]
train = keras.utils.image_dataset_from_directory("photos", image_size=(224, 224), class_names=names)
for units in (number, len(names), len(index_of), len(listed), len([*names, "other"])):
    base = keras.applications.EfficientNetB0(include_top=False, pooling="avg")
    layer_count = 0
    for layer in base.layers:
        if layer_count < 100 or isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
        layer_count += 1  # noqa: SIM113
    head = keras.layers.Dense(units, activation="softmax")
    model = keras.Sequential([base, *[keras.layers.Dropout(0.1) for _ in listed], head])
    model.compile(keras.optimizers.Adam(1e-5), "sparse_categorical_crossentropy")
    model.fit(train)
