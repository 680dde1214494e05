"""A text classifier: no rule applies."""

import keras
from keras import layers

train = keras.utils.text_dataset_from_directory("reviews/train", batch_size=32)
vectorize = layers.TextVectorization(max_tokens=20_000, output_sequence_length=200)
vectorize.adapt(train.map(lambda text, _: text))

inputs = keras.Input(shape=(1,), dtype="string")
x = layers.Embedding(20_000, 50, trainable=False)(vectorize(inputs))
x = layers.Bidirectional(layers.LSTM(32))(x)
model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
model.fit(train, epochs=3)
