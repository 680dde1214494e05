"""A class with settings, and a table of bases with their preprocessing."""

from dataclasses import dataclass

import keras
from keras import applications, layers, optimizers

BASES = {
    "xception": (applications.Xception, applications.xception.preprocess_input),
    "vgg16": (applications.VGG16, applications.vgg16.preprocess_input),
    "convnext": (applications.ConvNeXtTiny, None),
}


@dataclass
class Settings:
    base: str = "xception"
    size: int = 224
    head_rate: float = 1e-3
    tune_rate: float = 1e-5


class Trainer:
    def __init__(self, settings, classes):
        self.settings = settings
        make, self.prepare = BASES[settings.base]
        self.base = make(include_top=False, weights="imagenet", input_shape=(settings.size, settings.size, 3))
        self.base.trainable = False
        self.model = self.assemble(classes)

    def assemble(self, classes):
        inputs = keras.Input((self.settings.size, self.settings.size, 3))
        x = self.prepare(inputs) if self.prepare else inputs
        x = layers.GlobalAveragePooling2D()(self.base(x, training=False))
        return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))

    def compile(self, rate):
        self.model.compile(
            optimizer=optimizers.AdamW(learning_rate=rate, weight_decay=1e-4),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )

    def fit(self, train, validation):
        self.compile(self.settings.head_rate)
        self.model.fit(train, validation_data=validation, epochs=5)
        self.base.trainable = True
        for layer in self.base.layers:
            layer.trainable = not isinstance(layer, layers.BatchNormalization)
        self.compile(self.settings.tune_rate)
        return self.model.fit(train, validation_data=validation, epochs=5)


def data(subset):
    return keras.utils.image_dataset_from_directory(
        "photos", validation_split=0.25, subset=subset, seed=7, image_size=(224, 224)
    )


if __name__ == "__main__":
    train, validation = data("training"), data("validation")
    for name in BASES:
        Trainer(Settings(base=name), len(train.class_names)).fit(train, validation)
