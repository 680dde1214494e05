"""Models as users of Keras 2 built them, for ``tests/bases/test_keras2.py``.

The tests save them with tf_keras, which is Keras 2 on a current TensorFlow. The file in this folder is an archive of
TensorFlow 2.12, which numbers the weights in another way: in an environment with that version,
``python tests/files/keras2/make.py`` writes it.
"""

import importlib
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

HERE = Path(__file__).parent
SIZE = 32
ACTIVATIONS = [
    *("elu", "exponential", "gelu", "hard_sigmoid", "linear", "mish", "relu", "relu6", "selu", "sigmoid", "softmax"),
    *("softplus", "softsign", "swish", "tanh"),
]


def pixels() -> np.ndarray:
    """Two images, float32 (n, h, w, 3)."""
    return np.random.default_rng(5).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.float32)


def set_weights(model: Any) -> None:
    """Weights that no initializer makes, the same for each version of Keras."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.dtype.is_floating and weight.name.partition(":")[0] not in ("mean", "variance"):
            values = rng.normal(size=weight.shape) / np.sqrt(max(1, np.prod(weight.shape[:-1])))
            is_scale = weight.name.partition(":")[0].endswith(("variance", "gamma"))
            weight.assign((np.abs(values) + 0.5 if is_scale else values).astype(weight.dtype.as_numpy_dtype))


def nested_functional(keras: ModuleType) -> Any:
    """A base with frozen layers in a model, as in the guide of transfer learning."""
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, strides=2)(inputs))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(layers.ReLU(6.0)(x))
    inner = keras.Model(inputs, layers.BatchNormalization(trainable=False)(x), name="inner")
    inner.layers[1].trainable = False
    outer = keras.Input((SIZE, SIZE, 3))
    x = inner(layers.Rescaling(1 / 127.5, offset=-1)(outer), training=False)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(outer, layers.Dense(3, activation="softmax")(x))


def mobilenet_in_sequential(keras: ModuleType) -> Any:
    """A model of Keras Applications in a Sequential."""
    layers = keras.layers
    base = keras.applications.MobileNetV2(alpha=0.35, weights=None, include_top=False, input_shape=(SIZE, SIZE, 3))
    base.trainable = False
    scaling = layers.Rescaling(1 / 127.5, -1, input_shape=(SIZE, SIZE, 3))
    return keras.Sequential([scaling, base, layers.GlobalAveragePooling2D(), layers.Dense(2)])


def sequential_in_sequential(keras: ModuleType) -> Any:
    """Augmentation and body are models of their own; regularizers and constraints."""
    layers = keras.layers
    augmentation = keras.Sequential(
        [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.1), layers.RandomHeight(0.1)]
    )
    body = keras.Sequential([layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D()])
    dense = layers.Dense(3, kernel_regularizer="l2", kernel_constraint="max_norm", activity_regularizer="l1")
    head = [layers.GlobalAveragePooling2D(), layers.Dropout(0.3), dense, layers.Softmax()]
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), augmentation, layers.Rescaling(1 / 255), body, *head])


def scaled_by_operations(keras: ModuleType) -> Any:
    """``x / 127.5 - 1`` on a symbolic tensor; a layer has the name that Keras gives an operation of Keras 3."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(4, 3)(inputs / 127.5 - 1)
    x = keras.layers.Add(name="add")([x, 2.0 * x + 1])
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))


def subtracted_means(keras: ModuleType) -> Any:
    """``preprocess_input`` in the way of Caffe: channels reversed, means subtracted."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(4, 3)(keras.applications.resnet50.preprocess_input(inputs))
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))


def divided_by_deviations(keras: ModuleType) -> Any:
    """``preprocess_input`` in the way of torch."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(4, 3)(keras.applications.densenet.preprocess_input(inputs))
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))


def operations(keras: ModuleType) -> Any:
    """Many operations of TensorFlow, side by side."""
    import tensorflow as tf

    inputs = keras.Input((SIZE, SIZE, 3))
    x = inputs / 255.0
    size = tf.shape(x)
    parts = [
        *(tf.nn.relu(x - 0.5), tf.nn.relu6(x * 8), tf.nn.leaky_relu(x - 0.5), tf.nn.elu(x - 0.5), tf.nn.swish(x)),
        *(tf.nn.gelu(x), tf.nn.softmax(x), tf.nn.softplus(x), tf.sigmoid(x), tf.tanh(x), tf.exp(x), tf.sqrt(x)),
        *(tf.square(x), tf.abs(x - 0.5), -x, 1 - x, 2 / (x + 1), x**2, x // 0.3, x % 0.3, tf.maximum(x, 0.5)),
        *(tf.minimum(x, 0.5), tf.clip_by_value(x, 0.2, 0.7), tf.cast(x, tf.float32), tf.identity(x)),
        *(tf.stop_gradient(x), tf.math.l2_normalize(x, axis=-1), tf.math.squared_difference(x, 0.5)),
        *(tf.image.resize(x, (16, 20)), tf.image.resize(x, (8, 8), method="nearest")),
        *(tf.image.resize(x, (48, 40), method="bicubic"), tf.image.resize(x, (9, 9), antialias=True)),
        *(tf.image.per_image_standardization(x), tf.image.rgb_to_grayscale(x), tf.image.flip_left_right(x)),
        *(tf.image.convert_image_dtype(x, tf.float32), tf.reverse(x, axis=[1]), x[..., ::-1], x[:, ::-1, ::-1]),
        *(x[:, 2:-2, ::2, 1], x[:, 3], tf.transpose(x, [0, 3, 1, 2]), tf.expand_dims(x, 1), tf.tile(x, [1, 2, 1, 1])),
        *(tf.reduce_mean(x, axis=[1, 2]), tf.reduce_max(x, axis=1, keepdims=True), tf.reduce_sum(x, axis=-1)),
        *(tf.math.reduce_std(x, axis=[1, 2]), tf.squeeze(x[:, :1], axis=1), tf.concat([x, x * 2], axis=-1)),
        *(tf.stack([x, x + 1], axis=1), *tf.split(x, 3, axis=-1), *tf.unstack(x[:, :2], axis=1)),
        *(tf.pad(x, [[0, 0], [1, 1], [2, 2], [0, 0]]), tf.pad(x, [[0, 0], [3, 3], [3, 3], [0, 0]], mode="REFLECT")),
        *(tf.nn.max_pool2d(x, 2, 2, "SAME"), tf.nn.avg_pool2d(x, 3, 2, "VALID"), tf.nn.bias_add(x, [1.0, 2.0, 3.0])),
        *(tf.reshape(x, (-1, SIZE, SIZE * 3)), tf.reshape(x, [size[0], size[1] * size[2], 3])),
        *(tf.reshape(x, [tf.shape(x)[0], -1]), tf.matmul(x, x, transpose_b=True), tf.add_n([x, x, x])),
        *(tf.math.divide_no_nan(x, x - 0.5), x - [0.1, 0.2, 0.3], keras.backend.clip(x, 0.1, 0.5)),
        *(keras.activations.relu(x - 0.5, alpha=0.1), keras.activations.swish(x), keras.backend.mean(x, axis=-1)),
    ]
    flat = [keras.layers.Flatten()(part) for part in parts]
    return keras.Model(inputs, keras.layers.Concatenate()(flat))


def graph_nodes(keras: ModuleType) -> Any:
    """Operations as TensorFlow 2.3 wrote them: every node of its graph is a layer."""
    import tensorflow as tf

    def compute(x: Any) -> list[Any]:
        y = x / 127.5 - 1.0
        mean = tf.nn.bias_add(x[..., ::-1], [-103.9, -116.8, -123.7])  # preprocess_input in the way of Caffe
        return [
            *(mean, tf.nn.relu(y), tf.nn.relu6(y * 8), tf.nn.leaky_relu(y, 0.3), tf.sigmoid(y), tf.nn.softmax(y)),
            *(tf.exp(y), tf.math.rsqrt(x + 1.0), tf.abs(y), 1 - y, -y, y**2, y // 0.3, tf.maximum(y, 0.1)),
            *(tf.math.squared_difference(y, 0.5), tf.clip_by_value(y, -0.5, 0.5), tf.cast(x, tf.float32)),
            *(tf.reduce_mean(y, [1, 2], keepdims=True), tf.reduce_max(y, -1), tf.concat([y, y * 2], -1)),
            *(tf.stack([y, -y], 1), tf.transpose(y, [0, 2, 1, 3]), tf.expand_dims(y, 1), tf.squeeze(y[:, :1], 1)),
            *(y[:, 3], y[:, 2:-2, ::2, 1], y[:, tf.newaxis], tf.pad(y, [[0, 0], [1, 1], [2, 2], [0, 0]])),
            *(tf.image.resize(y, (16, 20)), tf.reshape(y, [tf.shape(x)[0], -1]), tf.reshape(y, [-1, SIZE, SIZE * 3])),
            *(tf.reverse(y, [1]), tf.tile(y, [1, 2, 1, 1])),
        ]

    inputs = keras.Input((SIZE, SIZE, 3))
    flat = [keras.layers.Flatten()(part) for part in apply_nodes(keras, compute, inputs)]
    return keras.Model(inputs, keras.layers.Concatenate()(flat))


def apply_nodes(keras: ModuleType, compute: Callable[[Any], list[Any]], inputs: Any) -> list[Any]:
    """Apply each node of a function's graph as a layer, as Keras did up to TensorFlow 2.3."""
    import tensorflow as tf

    layer_class = importlib.import_module(f"{keras.__name__}.src.engine.base_layer").TensorFlowOpLayer
    with tf.Graph().as_default() as graph:
        start = tf.compat.v1.placeholder(inputs.dtype, inputs.shape)
        outputs = compute(start)
    tensors = {start.name: inputs}
    for node in graph.get_operations():
        if node.type in ("Placeholder", "Const"):
            continue
        constants = {i: tf.get_static_value(x) for i, x in enumerate(node.inputs) if x.op.type == "Const"}
        taken = [tensors[x.name] for x in node.inputs if x.op.type != "Const"]
        layer = layer_class(node.node_def.SerializeToString(), node.name.replace("/", "_"), constants=constants)
        tensors[node.outputs[0].name] = layer(taken if len(taken) > 1 else taken[0])
    return [tensors[output.name] for output in outputs]


def activations(keras: ModuleType) -> Any:
    """Every activation by name, in a layer of its own and inside another one, and layers as activations."""
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 100, -1)(inputs)
    parts = [layers.Activation(name)(x) for name in ACTIVATIONS]
    parts += [layers.Conv2D(3, 1, activation=name)(x) for name in ACTIVATIONS]
    parts += [layers.Conv2D(3, 1, activation=layers.LeakyReLU(0.1))(x), layers.Dense(3, activation=layers.ReLU(1.0))(x)]
    parts += [layers.LeakyReLU(0.2)(x), layers.PReLU(shared_axes=[1, 2])(x), layers.ThresholdedReLU(0.4)(x)]
    parts += [layers.ELU(0.5)(x), layers.ReLU(0.9, negative_slope=0.1, threshold=0.2)(x), layers.Softmax()(x)]
    return keras.Model(inputs, layers.Concatenate()(parts))


def kernels(keras: ModuleType) -> Any:
    """Layers with kernels, merges, padding and sizes."""
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.SeparableConv2D(6, 3, activation="swish")(layers.Rescaling(1 / 255)(inputs))
    x = layers.Conv2DTranspose(4, 2, strides=2, padding="same")(x)
    x = layers.UpSampling2D(interpolation="bilinear")(layers.ZeroPadding2D(((1, 0), (2, 1)))(x))
    x = layers.GroupNormalization(2)(layers.Cropping2D(3)(x))
    x = layers.Conv2D(4, 3, groups=2, dilation_rate=2)(layers.LayerNormalization()(x))
    x = layers.SpatialDropout2D(0.1)(layers.GaussianNoise(0.1)(layers.AveragePooling2D(3)(x)))
    merges = [layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum]
    parts = [merge()([x, layers.Permute((2, 1, 3))(layers.Permute((2, 1, 3))(x))]) for merge in merges]
    x = layers.GlobalMaxPooling2D(keepdims=True)(layers.Concatenate(axis=-1)(parts))
    applications = f"{keras.__name__}.src.applications"
    x = importlib.import_module(f"{applications}.convnext").LayerScale(0.5, 24)(x)
    x = importlib.import_module(f"{applications}.inception_resnet_v2").CustomScaleLayer(0.3)([x, x * x])
    return keras.Model(inputs, layers.Dense(2)(layers.Dot(1)([layers.Flatten()(x), layers.Reshape((24,))(x)])))


def sequences(keras: ModuleType) -> Any:
    """Layers inside layers: attention, recurrent ones and wrappers."""
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3))
    frame = [layers.Conv2D(3, 3), layers.BatchNormalization(), layers.DepthwiseConv2D(3), layers.BatchNormalization()]
    of_frame = keras.Sequential([keras.Input((8, 8, 3)), *frame, layers.GlobalMaxPooling2D()])
    x = layers.TimeDistributed(of_frame)(layers.Reshape((16, 8, 8, 3))(layers.Rescaling(1 / 255)(inputs)))
    x = layers.Dense(8)(x)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, value=x))
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(x)
    x = layers.GRU(3)(layers.TimeDistributed(layers.Dense(4))(x))
    return keras.Model(inputs, layers.Dense(2)(x))


def hard_gates(keras: ModuleType) -> Any:
    """The gates of Keras before TensorFlow 2."""
    layers = keras.layers
    gates = {"recurrent_activation": "hard_sigmoid"}
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Reshape((16, 8))(layers.Conv2D(8, 8, strides=8)(layers.Rescaling(1 / 25)(inputs)))
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True, dropout=0.2, recurrent_dropout=0.2, **gates))(x)
    x = layers.Bidirectional(layers.GRU(4, return_sequences=True, go_backwards=True, **gates), "sum")(x)
    x = layers.Reshape((2, 8, 1, 4))(x)
    x = layers.ConvLSTM2D(3, 1, return_sequences=True)(x)  # hard_sigmoid is its default
    x = layers.Reshape((16, 3))(x)
    x = layers.LSTM(4, return_sequences=True, use_bias=False, **gates)(x)
    return keras.Model(inputs, layers.Dense(2)(layers.GRU(4, reset_after=False, **gates)(x)))


def preprocessing(keras: ModuleType) -> Any:
    """Preprocessing layers, with the statistics that a Normalization has learnt."""
    layers = keras.layers
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(1).uniform(0, 255, (16, SIZE, SIZE, 3)))
    inputs = keras.Input((None, None, 3))
    x = layers.CenterCrop(31, 30)(layers.Resizing(40, 36)(inputs))
    x = layers.Resizing(28, 33, crop_to_aspect_ratio=True)(x)
    x = layers.RandomCrop(24, 24)(layers.RandomContrast(0.1)(normalization(x)))
    x = layers.RandomFlip()(layers.RandomTranslation(0.1, 0.1)(x))
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(x)
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalMaxPooling2D()(layers.Conv2D(4, 3)(x))))


def shared(keras: ModuleType) -> Any:
    """Layers and models that are applied several times, also in another order than they are listed."""
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3))
    conv = layers.Conv2D(3, 3, padding="same")
    tower = keras.Sequential([layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()])
    x = conv(conv(layers.Rescaling(1 / 255)(inputs)))
    return keras.Model(inputs, layers.Dense(2)(layers.Concatenate()([tower(x), tower(conv(x))])))


def shared_by_models(keras: ModuleType) -> Any:
    """Two models that end at two layers of one base share its first layers: features of two scales."""
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3))
    low = layers.BatchNormalization()(layers.Conv2D(4, 3, strides=2)(inputs))
    high = layers.Conv2D(5, 3, strides=2)(layers.Conv2D(4, 1)(low))
    towers = [keras.Model(inputs, low), keras.Model(inputs, high)]
    outer = keras.Input((SIZE, SIZE, 3))
    scaled = layers.Rescaling(1 / 255)(outer)
    pooled = [layers.GlobalAveragePooling2D()(tower(scaled)) for tower in towers]
    return keras.Model(outer, layers.Dense(2)(layers.Concatenate()(pooled)))


def mixed_precision(keras: ModuleType) -> Any:
    """Built under the policy ``mixed_float16``."""
    layers = keras.layers
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        inputs = keras.Input((SIZE, SIZE, 3))
        x = layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 255)(inputs))
        x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x))
        return keras.Model(inputs, layers.Dense(3, activation="softmax", dtype="float32")(x))
    finally:
        keras.mixed_precision.set_global_policy("float32")


MODELS: list[Callable[[ModuleType], Any]] = [
    *(nested_functional, mobilenet_in_sequential, sequential_in_sequential, scaled_by_operations, subtracted_means),
    *(divided_by_deviations, operations, activations, kernels, sequences, preprocessing, shared, shared_by_models),
    *(mixed_precision, graph_nodes, hard_gates),
]


def save(keras: ModuleType, make: Callable[[ModuleType], Any], path: Path, **options: Any) -> np.ndarray:
    """Save a model, and return its outputs for :func:`pixels`, computed in float32."""
    keras.backend.clear_session()
    model = make(keras)
    set_weights(model)
    model.compile("adam", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path, **options)
    if make is mixed_precision:
        exact = keras.Model.from_config(_in_float32(model.get_config()))
        exact.set_weights(model.get_weights())
        model = exact
    return np.asarray(model(pixels(), training=False))


def _in_float32(config: dict[str, Any]) -> dict[str, Any]:
    for layer in config["layers"]:
        layer["config"]["dtype"] = "float32"
    return config


if __name__ == "__main__":
    import tensorflow

    name = nested_functional.__name__
    expected = save(tensorflow.keras, nested_functional, HERE / f"{name}.keras", save_format="keras_v3")
    np.save(HERE / f"{name}.npy", expected)
    sys.stdout.write(f"written by TensorFlow {tensorflow.__version__}\n")
