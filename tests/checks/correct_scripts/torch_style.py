"""MobileNetV3 and EfficientNetV2 without their own scaling; mean and standard deviation of ImageNet as numbers."""

import keras
from keras import Input, Model
from keras.layers import Dense, GlobalAveragePooling2D, Normalization, Rescaling

MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
train = keras.utils.image_dataset_from_directory(
    "photos/train", image_size=(224, 224), label_mode="categorical", seed=3
)
validation = keras.utils.image_dataset_from_directory("photos/val", image_size=(224, 224), label_mode="categorical")


def with_head(base, scaled):
    inputs = Input((224, 224, 3))
    base.trainable = False
    features = base(scaled(inputs), training=False)
    model = Model(inputs, Dense(4, activation="softmax")(GlobalAveragePooling2D()(features)))
    model.compile("adam", keras.losses.CategoricalCrossentropy(label_smoothing=0.1), metrics=["accuracy"])
    return model


def as_torch(inputs):
    return Normalization(mean=MEAN, variance=[deviation**2 for deviation in DEVIATION])(Rescaling(1 / 255)(inputs))


large = keras.applications.MobileNetV3Large(include_top=False, include_preprocessing=False)
with_head(large, lambda inputs: inputs / 127.5 - 1.0).fit(train, validation_data=validation)
with_head(keras.applications.EfficientNetV2B0(include_top=False, include_preprocessing=False), as_torch).fit(train)
with_head(keras.applications.DenseNet121(include_top=False), as_torch).fit(train, validation_data=validation)
