"""EfficientNet gets raw pixels; functions, and options from the command line."""

import argparse
from pathlib import Path

import keras
from keras import layers


def load(folder, size, batch_size):
    return keras.utils.image_dataset_from_directory(
        folder,
        label_mode="categorical",
        image_size=(size, size),
        batch_size=batch_size,
        validation_split=0.2,
        subset="both",
        seed=42,
    )


def build(classes, size, dropout=0.3):
    inputs = layers.Input(shape=(size, size, 3))
    x = inputs
    for augment in (layers.RandomRotation(0.15), layers.RandomTranslation(0.1, 0.1), layers.RandomFlip()):
        x = augment(x)
    base = keras.applications.EfficientNetB0(include_top=False, input_tensor=x, weights="imagenet")
    base.trainable = False
    x = layers.GlobalAveragePooling2D(name="pooled")(base.output)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def unfreeze(model):
    for layer in model.layers[-20:]:
        if not isinstance(layer, layers.BatchNormalization):
            layer.trainable = True
    model.compile(optimizer=keras.optimizers.Adam(learning_rate=1e-5), loss="categorical_crossentropy")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--fine-tune", action="store_true")
    options = parser.parse_args()
    train, validation = load(options.folder, options.size, 32)
    model = build(len(train.class_names), options.size)
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="categorical_crossentropy", metrics=["accuracy"])
    model.fit(train, epochs=25, validation_data=validation)
    if options.fine_tune:
        unfreeze(model)
        model.fit(train, epochs=4, validation_data=validation)
    model.save("model.keras")


if __name__ == "__main__":
    main()
