"""Image generators: augmentation for training only, no shuffling for the confusion matrix."""

import numpy as np
from sklearn.metrics import confusion_matrix
from tensorflow.keras.applications.resnet50 import ResNet50, preprocess_input
from tensorflow.keras.callbacks import EarlyStopping, ReduceLROnPlateau
from tensorflow.keras.layers import Dense, Dropout, GlobalAveragePooling2D
from tensorflow.keras.models import Sequential
from tensorflow.keras.preprocessing.image import ImageDataGenerator

SIZE, CLASSES = 224, ["cat", "dog", "horse"]
augmented = ImageDataGenerator(preprocessing_function=preprocess_input, rotation_range=20, horizontal_flip=True)
plain = ImageDataGenerator(preprocessing_function=preprocess_input)
train = augmented.flow_from_directory("photos/train", target_size=(SIZE, SIZE), classes=CLASSES)
validation = plain.flow_from_directory("photos/validation", target_size=(SIZE, SIZE), classes=CLASSES)
test = plain.flow_from_directory("photos/test", target_size=(SIZE, SIZE), classes=CLASSES, shuffle=False)

model = Sequential()
model.add(ResNet50(include_top=False, weights="imagenet", input_shape=(SIZE, SIZE, 3)))
model.add(GlobalAveragePooling2D())
model.add(Dense(128, activation="relu"))
model.add(Dropout(0.5))
model.add(Dense(len(CLASSES), activation="softmax"))
model.layers[0].trainable = False
model.compile("adam", loss="categorical_crossentropy", metrics=["accuracy"])
model.fit(train, epochs=10, validation_data=validation, callbacks=[EarlyStopping(patience=3), ReduceLROnPlateau()])

predicted = np.argmax(model.predict(test), axis=1)
matrix = confusion_matrix(test.classes, predicted)
