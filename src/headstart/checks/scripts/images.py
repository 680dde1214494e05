"""What functions do with images that a script reads by itself: OpenCV, Pillow, scikit-image, imageio, NumPy, tf.image.

Followed are the range of the pixels, the order of their channels, their size, and whether they are integers, because
some functions scale integers only.
"""

import ast
from collections.abc import Callable
from typing import Any

from headstart.checks.dataset import Tensor, apply_layer
from headstart.checks.keras_names import KerasObject, Symbol
from headstart.checks.network import UNKNOWN, Layer, Node
from headstart.checks.pixels import has_integers
from headstart.checks.shapes import parse_shape, parse_size

_DECODERS = {
    *("decode_jpeg", "decode_png", "decode_image", "decode_bmp", "decode_gif", "decode_webp", "decode_and_crop_jpeg"),
    "load_img",
}
_RESIZERS = {"resize", "resize_with_pad", "resize_with_crop_or_pad", "smart_resize"}
_VALUE_PRESERVING_FUNCTIONS = {
    *("array", "asarray", "ascontiguousarray", "expand_dims", "squeeze", "convert_to_tensor", "ensure_shape", "copy"),
    *("identity", "stack", "concatenate", "concat", "vstack", "reshape", "central_crop", "crop_to_bounding_box"),
    *("flip_left_right", "flip_up_down", "rot90", "pad", "constant", "repeat", "tile", "shuffle", "permutation"),
}
_CASTS = {"cast", "img_to_array", "float16", "float32", "float64"}
_VALUE_PRESERVING_METHODS = {
    *("numpy", "copy", "reshape", "set_shape", "flatten", "squeeze", "tolist", "crop", "rotate", "transpose"),
}
_OPENCV_PRESERVING = {
    *("flip", "rotate", "GaussianBlur", "medianBlur", "blur", "bilateralFilter", "warpAffine", "warpPerspective"),
    *("copyMakeBorder", "fastNlMeansDenoisingColored"),
}
_READERS = {
    *("PIL.Image.open", "skimage.io.imread", "imageio.imread", "imageio.v2.imread", "imageio.v3.imread"),
    *("cv2.imread", "cv2.imdecode"),
}
_COLOR_FLAGS = (None, 1, "IMREAD_COLOR", "IMREAD_COLOR_BGR")
_SWAPPING_CODES = (4, "COLOR_BGR2RGB", "COLOR_RGB2BGR")
_FLOATS = {"float", "float16", "float32", "float64", "bfloat16", "half", "double", "floatx"}
_ZEROS = {"zeros", "empty", "ones", "zeros_like", "empty_like", "ones_like", "ndarray"}
_WHOLE = slice(None)


def raw_images(line: int, shape: Any = (None, None, 3), **config: Any) -> Tensor:
    """Pixels from 0 to 255.

    Args:
        line: where they are read.
        shape: of one image.
        config: ``dtype``: ``int`` or ``float``, if it is known; ``bgr=True`` for channels in the order of OpenCV.
    """
    return Tensor(Node(Layer("pixels", config, line), line=line, shape=shape))


def transform(layer: Layer, images: Any, line: int) -> Any:
    """The output of a layer for images; UNKNOWN if these are not images."""
    return apply_layer(layer, [images], line) if isinstance(images, Tensor) else UNKNOWN


def call_library(path: str, args: list[Any], config: dict[str, Any], line: int) -> Any:
    """Call a function of OpenCV, Pillow, scikit-image or imageio; UNKNOWN if it is not known."""
    name, first = path.rpartition(".")[2], args[0] if args else config.get("image", UNKNOWN)
    if path in _READERS:
        return _read(path, args, config, line)
    if path.startswith("skimage.") and name in ("resize", "img_as_float", "img_as_float32", "img_as_float64"):
        return _scale_integers(first, args, config, line)
    size = args[1] if len(args) > 1 else config.get("dsize", config.get("size"))
    if path == "cv2.resize" or (path.startswith("PIL.ImageOps.") and name in ("fit", "pad")):
        return transform(_resizing(size, line), first, line)
    if path == "cv2.cvtColor":
        code = args[1] if len(args) > 1 else config.get("code")
        return transform(Layer("swapped channels" if _plain(code) in _SWAPPING_CODES else "unknown"), first, line)
    is_preserving = path.startswith("cv2.") and name in _OPENCV_PRESERVING
    if is_preserving or path in ("PIL.Image.fromarray", "PIL.ImageOps.exif_transpose"):
        return first if isinstance(first, Tensor) else UNKNOWN
    return transform(Layer("unknown"), first, line)


def _read(path: str, args: list[Any], config: dict[str, Any], line: int) -> Any:
    if not path.startswith("cv2."):
        return raw_images(line, dtype="int")
    flags = _plain(args[1] if len(args) > 1 else config.get("flags"))
    if flags == "IMREAD_COLOR_RGB":
        return raw_images(line, dtype="int")
    return raw_images(line, dtype="int", bgr=True) if flags in _COLOR_FLAGS else UNKNOWN


def _scale_integers(images: Any, args: list[Any], config: dict[str, Any], line: int) -> Any:
    """``skimage.transform.resize`` and similar functions: floats from 0 to 1 for integers, unchanged floats."""
    if not isinstance(images, Tensor):
        return UNKNOWN
    are_integers = has_integers(images.node)
    if config.get("preserve_range") is True:
        are_integers = False
    if are_integers is None or config.get("preserve_range") not in (None, True, False):
        return transform(Layer("unknown"), images, line)
    if are_integers:
        images = transform(Layer("Rescaling", {"scale": 1 / 255}, line), images, line)
    size = args[1] if len(args) > 1 else config.get("output_shape")
    return transform(_resizing(size, line, dtype="float"), images, line)


def call_function(name: str, args: list[Any], config: dict[str, Any], line: int) -> Any:
    """Call a function of TensorFlow, Keras or NumPy with images; UNKNOWN if the result is not known.

    Args:
        name: without the library: ``decode_jpeg``, ``img_to_array``.
        args: positional arguments.
        config: arguments with a name.
        line: of the call.
    """
    first = args[0] if args else config.get("x", config.get("image", config.get("images", UNKNOWN)))
    if name in _DECODERS:
        return _decode(config, line)
    if name in _ZEROS and isinstance(first, (list, tuple)) and len(first) >= 3:
        return Tensor(Node(Layer("zeros"), line=line, shape=parse_shape(first[-3:])))
    if isinstance(first, (list, tuple)) and any(isinstance(value, Tensor) for value in first):
        first = Tensor(next(value.node for value in first if isinstance(value, Tensor)))
    if not isinstance(first, Tensor):
        return UNKNOWN
    function = _FUNCTIONS.get(name)
    if function:
        return function(name, first, args, config, line)
    if name in _VALUE_PRESERVING_FUNCTIONS:
        return cast(first, config["dtype"], line) if config.get("dtype") is not None else first
    if name.startswith(("random_", "stateless_random_")):
        return transform(Layer("random image function", {}, line), first, line)
    return transform(Layer("unknown", {}, line), first, line)


def _decode(config: dict[str, Any], line: int) -> Any:
    dtype, is_gray = config.get("dtype"), config.get("channels") not in (None, 0, 3)
    if is_gray or config.get("color_mode", "rgb") != "rgb" or config.get("grayscale"):
        return UNKNOWN
    size = parse_size(config.get("target_size"))
    shape = (*size, 3) if size else (None, None, 3)
    if dtype is None or _plain(dtype) == "uint8":
        return raw_images(line, shape, dtype="int")
    images = raw_images(line, shape)
    is_scaled = _plain(dtype) in _FLOATS  # tf.io.decode_image scales floats to [0, 1]
    return transform(Layer("Rescaling", {"scale": 1 / 255}, line) if is_scaled else Layer("unknown"), images, line)


def _resize(name: str, images: Tensor, args: list[Any], config: dict[str, Any], line: int) -> Any:
    """``tf.image.resize`` returns floats, unless it copies the nearest pixels."""
    is_pad = name == "resize_with_pad" or name == "resize_with_crop_or_pad"
    size = args[1:3] if is_pad and len(args) > 2 else args[1] if len(args) > 1 else config.get("size")
    method = args[2] if name == "resize" and len(args) > 2 else config.get("method", "bilinear")
    keeps_dtype = name == "resize_with_crop_or_pad" or str(_plain(method)).lower() in ("nearest", "nearest_neighbor")
    dtype = {} if keeps_dtype else {"dtype": "float" if isinstance(_plain(method), str) else UNKNOWN}
    return transform(_resizing(size, line, **dtype), images, line)


def _cast(name: str, images: Tensor, args: list[Any], config: dict[str, Any], line: int) -> Any:
    dtype = args[1] if name == "cast" and len(args) > 1 else config.get("dtype")
    return cast(images, dtype if name == "cast" else "float32", line)


def _convert_image_dtype(name: str, images: Tensor, args: list[Any], config: dict[str, Any], line: int) -> Any:
    """``tf.image.convert_image_dtype`` scales integers to [0, 1], and keeps floats as they are."""
    dtype = _plain(args[1] if len(args) > 1 else config.get("dtype"))
    are_integers = has_integers(images.node)
    if dtype not in _FLOATS or are_integers is None:
        return transform(Layer("unknown"), images, line)
    return transform(Layer("Rescaling", {"scale": 1 / 255}, line), images, line) if are_integers else images


def _flip(name: str, images: Tensor, args: list[Any], config: dict[str, Any], line: int) -> Any:
    """``np.flip`` and ``tf.reverse``."""
    axis = args[1] if len(args) > 1 else config.get("axis")
    axis = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
    return transform(Layer("swapped channels" if axis == -1 else "unknown"), images, line)


_FUNCTIONS: dict[str, Callable[[str, Tensor, list[Any], dict[str, Any], int], Any]] = {
    **dict.fromkeys(_RESIZERS, _resize),
    **dict.fromkeys(_CASTS, _cast),
    **dict.fromkeys(("flip", "reverse"), _flip),
    "convert_image_dtype": _convert_image_dtype,
}


def cast(images: Tensor, dtype: Any, line: int) -> Tensor:
    """Images converted to another data type; to integers, the values are no longer known unless they were integers."""
    name = _plain(dtype)
    if name in _FLOATS:
        return apply_layer(Layer("cast", {"dtype": "float"}), [images], line)
    is_same = name in ("uint8", "int32", "int64", "int") and has_integers(images.node)
    return images if is_same else apply_layer(Layer("unknown"), [images], line)


def call_method(images: Tensor, name: str, args: list[Any], config: dict[str, Any], line: int) -> Any:
    """Call a method of an array, a tensor or an image of Pillow; UNKNOWN if the result is not known."""
    if name == "astype":
        return cast(images, args[0] if args else config.get("dtype"), line)
    if name == "resize":  # of Pillow
        return transform(_resizing(args[0] if args else config.get("size"), line), images, line)
    if name == "convert":  # of Pillow
        mode = args[0] if args else config.get("mode")
        return images if mode == "RGB" else transform(Layer("unknown"), images, line)
    return images if name in _VALUE_PRESERVING_METHODS else UNKNOWN


def is_number_or_channels(value: Any) -> bool:
    """Whether a value is a number, or a list of a number for each channel."""
    numbers = value if isinstance(value, (list, tuple)) and len(value) == 3 else [value]
    return all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers)


def rescaling(operation: ast.operator, value: Any) -> dict[str, Any] | None:
    """The arguments of a Rescaling layer that calculates with a number, or a number for each channel.

    Returns:
        None if the operation is not ``/``, ``*``, ``+`` or ``-``, or divides by 0.
    """
    numbers = list(value) if isinstance(value, (list, tuple)) else [value]
    if isinstance(operation, ast.Div) and all(numbers):
        name, numbers = "scale", [1 / number for number in numbers]
    elif isinstance(operation, ast.Mult):
        name = "scale"
    elif isinstance(operation, (ast.Add, ast.Sub)):
        name = "offset"
        numbers = numbers if isinstance(operation, ast.Add) else [-number for number in numbers]
    else:
        return None
    return {name: numbers[0] if len(numbers) == 1 else tuple(numbers)}


def index_images(images: Tensor, index: Any, line: int = 0) -> Any:
    """Some images, a part of an image, or other channels."""
    if not isinstance(index, tuple):
        return Tensor(images.node)
    channels = index[-1] if len(index) >= 3 or ... in index[:-1] else _WHOLE
    if channels == slice(None, None, -1) or (isinstance(channels, (list, tuple)) and list(channels) == [2, 1, 0]):
        return transform(Layer("swapped channels"), images, line)
    is_new_axis = channels is None or (isinstance(channels, Symbol) and channels.name == "newaxis")
    if is_new_axis or channels is ... or channels in (_WHOLE, slice(None, 3), slice(0, 3)):
        return Tensor(images.node)
    return transform(Layer("unknown"), images, line)


def set_images(images: Tensor, index: Any, value: Any) -> None:
    """Assign to some images of an array; what is assigned to some of them is assigned to all."""
    is_whole = not isinstance(index, tuple) or all(part == _WHOLE or part is ... for part in index[1:])
    images.node = value.node if is_whole and isinstance(value, Tensor) else Node(Layer("unknown"))


def _resizing(size: Any, line: int, **config: Any) -> Layer:
    height, width = parse_size(size) or (None, None)
    return Layer("Resizing", {"height": height, "width": width, **config}, line)


def _plain(value: Any) -> Any:
    """The name of a constant of a library, such as ``cv2.IMREAD_COLOR`` or ``tf.float32``, or the value itself."""
    if isinstance(value, KerasObject):
        return UNKNOWN
    return value.name if isinstance(value, Symbol) else value if isinstance(value, (int, str, type(None))) else UNKNOWN
