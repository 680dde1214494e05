"""The Keras guide to transfer learning: frozen base, new head, then the whole model at a low learning rate."""

import keras
from keras import layers

train, validation = keras.utils.image_dataset_from_directory(
    "photos", label_mode="binary", image_size=(150, 150), validation_split=0.2, subset="both", seed=0
)

augmentation = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])
base = keras.applications.Xception(weights="imagenet", input_shape=(150, 150, 3), include_top=False)
base.trainable = False

inputs = keras.Input(shape=(150, 150, 3))
x = augmentation(inputs)
x = layers.Rescaling(scale=1 / 127.5, offset=-1)(x)
x = base(x, training=False)
x = layers.GlobalAveragePooling2D()(x)
x = layers.Dropout(0.2)(x)
outputs = layers.Dense(1)(x)
model = keras.Model(inputs, outputs)

model.compile(
    optimizer=keras.optimizers.Adam(),
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
    metrics=[keras.metrics.BinaryAccuracy()],
)
model.fit(train, epochs=2, validation_data=validation)

base.trainable = True
model.compile(
    optimizer=keras.optimizers.Adam(1e-5),
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
    metrics=[keras.metrics.BinaryAccuracy()],
)
model.fit(train, epochs=1, validation_data=validation)
model.evaluate(validation)
