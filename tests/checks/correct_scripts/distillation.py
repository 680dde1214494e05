"""A custom training step with two losses, and a layer with weights of its own."""

import tensorflow as tf
from tensorflow.keras.models import Model


class Scale(tf.keras.layers.Layer):
    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, inputs):
        return inputs * self.factor


class Distiller(Model):
    def __init__(self, student, teacher):
        super().__init__()
        self.student, self.teacher = student, teacher
        self.divergence = tf.keras.losses.KLDivergence()
        self.crossentropy = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def call(self, images, training=False):
        return self.student(images, training=training)

    def train_step(self, data):
        images, labels = data
        targets = tf.nn.softmax(self.teacher(images, training=False) / 3.0)
        with tf.GradientTape() as tape:
            outputs = self.student(images, training=True)
            loss = self.crossentropy(labels, outputs)
            loss += self.divergence(targets, tf.nn.softmax(outputs / 3.0))
        gradients = tape.gradient(loss, self.student.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.student.trainable_variables, strict=True))
        return {"loss": loss}


data = tf.keras.utils.image_dataset_from_directory("photos", image_size=(224, 224))
base = tf.keras.applications.EfficientNetB0(include_top=False, pooling="avg")
base.trainable = False
inputs = tf.keras.Input((224, 224, 3))
frozen_head = tf.keras.layers.Dense(5, trainable=False)
teacher = tf.keras.Model(inputs, frozen_head(Scale()(base(inputs, training=False))))
teacher.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
teacher.fit(data)
student = tf.keras.Sequential(
    [
        tf.keras.layers.Rescaling(1 / 255),
        tf.keras.layers.Conv2D(8, 3),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(5),
    ]
)
distiller = Distiller(student, teacher)
distiller.compile(optimizer="adam")
distiller.fit(data)
