"""The features are computed once, a head is trained on them, and both are joined for prediction."""

import keras
import numpy as np
from sklearn.model_selection import StratifiedKFold

base = keras.applications.VGG16(weights="imagenet", include_top=False, input_shape=(180, 180, 3))
data = keras.utils.image_dataset_from_directory("photos", image_size=(180, 180), shuffle=False)


def features_of(dataset):
    features, labels = [], []
    for images, label in dataset:
        features.append(base.predict(keras.applications.vgg16.preprocess_input(images)))
        labels.append(label)
    return np.concatenate(features), np.concatenate(labels)


features, labels = features_of(data)
for train, test in StratifiedKFold(5, shuffle=True).split(features, labels):
    inputs = keras.Input(shape=(5, 5, 512))
    x = keras.layers.Flatten()(inputs)
    x = keras.layers.Dense(256, activation="relu")(x)
    x = keras.layers.Dropout(0.5)(x)
    head = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))
    head.compile(loss="binary_crossentropy", optimizer="rmsprop", metrics=["accuracy"])
    head.fit(features[train], labels[train], epochs=20, validation_data=(features[test], labels[test]))

inputs = keras.Input((180, 180, 3))
whole = keras.Model(inputs, head(base(keras.applications.vgg16.preprocess_input(inputs))))
image = keras.utils.img_to_array(keras.utils.load_img("cat.jpg", target_size=(180, 180)))
answer = whole.predict(np.expand_dims(image, axis=0))
