"""A model without a base, and a base with random weights trained from scratch; arrays instead of datasets."""

import keras
import numpy as np

(x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
x_train = x_train.astype("float32") / 255.0
x_test = x_test.astype("float32") / 255.0
y_train = keras.utils.to_categorical(y_train, 10)
y_test = keras.utils.to_categorical(y_test, 10)

small = keras.Sequential(
    [
        keras.Input(shape=(32, 32, 3)),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
        keras.layers.Activation("softmax"),
    ]
)
small.compile(loss=keras.losses.categorical_crossentropy, optimizer="adam", metrics=["accuracy"])
small.fit(x_train, y_train, batch_size=128, epochs=5, validation_split=0.1)
print_score = small.evaluate(x_test, y_test)
answers = np.argmax(small.predict(x_test), axis=-1)

large = keras.Sequential()
large.add(keras.layers.Resizing(96, 96, input_shape=(32, 32, 3)))
large.add(keras.applications.MobileNetV2(weights=None, include_top=False, pooling="avg"))
large.add(keras.layers.Dense(10, activation="softmax"))
large.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
large.fit(x_train[5000:], y_train[5000:], validation_data=(x_train[:5000], y_train[:5000]))
