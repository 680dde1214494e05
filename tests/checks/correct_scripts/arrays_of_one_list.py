"""Images in one list, which is shuffled and split by slices."""

import os
import random

import cv2
import keras
import numpy as np

examples = []
for label, folder in enumerate(["cats", "dogs"]):
    for file in os.listdir(folder):
        image = cv2.cvtColor(cv2.imread(os.path.join(folder, file)), cv2.COLOR_BGR2RGB)
        examples.append([cv2.resize(image, (224, 224)), label])
random.shuffle(examples)
train, validation = examples[:800], examples[800:]


def arrays(examples):
    images = np.array([image for image, _ in examples], dtype=np.float32)
    return keras.applications.resnet_v2.preprocess_input(images), np.array([label for _, label in examples])


x, y = arrays(train)
base = keras.applications.ResNet50V2(include_top=False, pooling="avg")
base.trainable = False
model = keras.Sequential([base, keras.layers.Dense(1, activation="sigmoid")])
model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
model.fit(x, y, validation_data=arrays(validation))

images = np.zeros((10, 224, 224, 3), dtype="float32")
for i in range(10):
    images[i] = keras.utils.img_to_array(keras.utils.load_img(f"{i}.jpg", target_size=(224, 224)))
keras.applications.resnet_v2.preprocess_input(images)  # changes an array of floats in place
model.predict(images)
