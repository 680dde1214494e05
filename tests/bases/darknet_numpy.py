"""A second implementation of Darknet in NumPy, from its definitions: channels first, float32, plain loops.

It shares no code with headstart; both are compared on the same files.
"""

from pathlib import Path
from typing import Any

import numpy as np

Sections = list[tuple[str, dict[str, str]]]


def read_cfg(path: Path) -> Sections:
    sections: Sections = []
    for line in path.read_text().splitlines():
        text = line.replace(" ", "").replace("\t", "")
        if text.startswith("["):
            sections.append((text.strip("[]"), {}))
        elif text and text[0] not in "#;":
            name, value = text.split("=")
            sections[-1][1][name] = value.split("#")[0]
    return sections


def activate(x: np.ndarray, name: str) -> np.ndarray:
    x = x.astype(np.float32)
    logistic = 1 / (1 + np.exp(-x))
    values = {
        "linear": x, "leaky": np.where(x > 0, x, np.float32(0.1) * x), "relu": x * (x > 0), "logistic": logistic,
        "relu6": np.minimum(np.maximum(x, 0), 6), "swish": x * logistic, "mish": x * np.tanh(np.log1p(np.exp(x))),
    }  # fmt: skip
    return values[name].astype(np.float32)


def normalize(x: np.ndarray, scales: np.ndarray, means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    shape = (-1, *[1] * (x.ndim - 1))
    x = (x - means.reshape(shape)) / (np.sqrt(variances.reshape(shape)) + np.float32(1e-6))
    return x * scales.reshape(shape)


def convolution(x: np.ndarray, kernel: np.ndarray, groups: int, stride: int, padding: int) -> np.ndarray:
    """im2col and a matrix product per group."""
    n, channels, size, _ = kernel.shape
    height = (x.shape[1] + 2 * padding - size) // stride + 1
    width = (x.shape[2] + 2 * padding - size) // stride + 1
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    result = np.zeros((n, height, width), np.float32)
    per_group = n // groups
    for group in range(groups):
        part = padded[group * channels : (group + 1) * channels]
        columns = np.empty((channels * size * size, height * width), np.float32)
        for row in range(columns.shape[0]):
            c, i, j = row // (size * size), row // size % size, row % size
            taken = part[c, i : i + stride * height : stride, j : j + stride * width : stride]
            columns[row] = taken[:height, :width].ravel()
        rows = slice(group * per_group, (group + 1) * per_group)
        result[rows] = (kernel[rows].reshape(per_group, -1) @ columns).reshape(per_group, height, width)
    return result


def maxpool(x: np.ndarray, size: int, stride: int, padding: int) -> np.ndarray:
    channels, h, w = x.shape
    height, width = (h + padding - size) // stride + 1, (w + padding - size) // stride + 1
    result = np.full((channels, height, width), -np.inf, np.float32)
    for i in range(height):
        for j in range(width):
            for m in range(size):
                for n in range(size):
                    row, column = i * stride + m - padding // 2, j * stride + n - padding // 2
                    if 0 <= row < h and 0 <= column < w:
                        result[:, i, j] = np.maximum(result[:, i, j], x[:, row, column])
    return result


def reorg(x: np.ndarray, stride: int) -> np.ndarray:
    """``reorg_cpu`` with the input's sizes, index by index in the flat arrays."""
    c, h, w = x.shape
    flat, out = x.ravel(), np.empty(x.size, np.float32)
    few = c // (stride * stride)
    for k in range(c):
        for j in range(h):
            for i in range(w):
                offset = k // few
                column, row = i * stride + offset % stride, j * stride + offset // stride
                out[i + w * (j + h * k)] = flat[column + w * stride * (row + h * stride * (k % few))]
    return out.reshape(c * stride * stride, h // stride, w // stride)


class Darknet:
    """A network of a cfg and a weights file; ``outputs`` after :meth:`run` has the output of every layer.

    Without a weights file, :meth:`run` takes random weights, and ``bytes`` then has them as Darknet writes them.
    """

    def __init__(self, cfg: Path, weights: Path | None, version: tuple[int, int, int] = (0, 2, 5)) -> None:
        (_, self.net), *self.layers = read_cfg(cfg)
        data = weights.read_bytes() if weights else np.asarray(version, "<i4").tobytes()
        major, minor, _ = np.frombuffer(data[:12], "<i4")
        self.transposed = major > 1000 or minor > 1000
        is_long = major * 10 + minor >= 2 and not self.transposed
        self.rng = None if weights else np.random.default_rng(0)
        self.bytes = data if weights else data + bytes(8 if is_long else 4)
        self.values = np.frombuffer(data[20 if is_long else 16 :], "<f4")
        self.outputs: list[np.ndarray] = []

    def take(self, *shape: int, positive: bool = False) -> np.ndarray:
        n = int(np.prod(shape))
        if self.rng is not None:
            values = self.rng.uniform(0.2 if positive else -1, 1, n) / (n / shape[0]) ** 0.5
            self.values = values.astype("<f4")
            self.bytes += self.values.tobytes()
        taken, self.values = self.values[:n], self.values[n:]
        return taken.reshape(shape)

    def take_norm(self, n: int, options: dict[str, str]) -> list[np.ndarray]:
        """Scales, means and variances, or none of them."""
        if options.get("batch_normalize") != "1":
            return []
        return [self.take(n, positive=True), self.take(n), self.take(n, positive=True)]

    def run(self, image: np.ndarray) -> np.ndarray:
        """From an image, float32 (3, h, w), to the output of the last layer."""
        x = image
        for kind, options in self.layers:
            x = getattr(self, f"run_{kind}")(x, options).astype(np.float32)
            self.outputs.append(x)
        assert not len(self.values)
        return x

    def run_convolutional(self, x: np.ndarray, options: dict[str, str]) -> np.ndarray:
        n, size, groups = int(options["filters"]), int(options["size"]), int(options.get("groups", 1))
        padding = size // 2 if options.get("pad") == "1" else int(options.get("padding", 0))
        biases = self.take(n)
        norm = self.take_norm(n, options)
        kernel = self.take(n, x.shape[0] // groups, size, size)
        y = convolution(x, kernel, groups, int(options.get("stride", 1)), padding)
        y = normalize(y, *norm) if norm else y
        return activate(y + biases[:, None, None], options.get("activation", "logistic"))

    def run_connected(self, x: np.ndarray, options: dict[str, str]) -> np.ndarray:
        n = int(options["output"])
        biases = self.take(n)
        kernel = self.take(x.size, n).T if self.transposed else self.take(n, x.size)
        norm = self.take_norm(n, options)
        y = kernel @ x.ravel()
        y = normalize(y, *norm) if norm else y
        return activate(y + biases, options.get("activation", "logistic")).reshape(n, 1, 1)

    def run_maxpool(self, x: np.ndarray, options: dict[str, str]) -> np.ndarray:
        stride = int(options.get("stride", 1))
        size = int(options.get("size", stride))
        return maxpool(x, size, stride, int(options.get("padding", size - 1)))

    def run_avgpool(self, x: np.ndarray, options: dict[str, str]) -> np.ndarray:
        return x.mean((1, 2), keepdims=True)

    def run_upsample(self, x: np.ndarray, options: dict[str, str]) -> np.ndarray:
        stride = int(options.get("stride", 2))
        return np.repeat(np.repeat(x, stride, 1), stride, 2)

    def run_route(self, x: np.ndarray, options: dict[str, str]) -> np.ndarray:
        groups, group = int(options.get("groups", 1)), int(options.get("group_id", 0))
        parts = []
        for source in map(int, options["layers"].split(",")):
            layer = self.outputs[source if source >= 0 else len(self.outputs) + source]
            n = layer.shape[0] // groups
            parts.append(layer[group * n : (group + 1) * n])
        return np.concatenate(parts)

    def run_shortcut(self, x: np.ndarray, options: dict[str, str]) -> np.ndarray:
        for source in map(int, options["from"].split(",")):
            added = self.outputs[source if source >= 0 else len(self.outputs) + source]
            x = x.copy()
            for channel in range(min(len(x), len(added))):
                x[channel] += added[channel]
        return activate(x, options.get("activation", "linear"))

    def run_reorg(self, x: np.ndarray, options: dict[str, str]) -> np.ndarray:
        return reorg(x, int(options["stride"]))

    def run_dropout(self, x: np.ndarray, options: dict[str, str]) -> np.ndarray:
        return x

    def run_softmax(self, x: np.ndarray, options: dict[str, str]) -> np.ndarray:
        e = np.exp(x - x.max())
        return e / e.sum()

    def run_yolo(self, x: np.ndarray, options: dict[str, str]) -> np.ndarray:
        return x

    run_region = run_cost = run_yolo

    def detections(self) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (points, 4), as fractions of the image, and scores (points, classes), after :meth:`run`."""
        boxes, scores = [], []
        for (kind, options), x in zip(self.layers, self.outputs, strict=True):
            if kind not in ("yolo", "region"):
                continue
            classes, anchors = int(options["classes"]), [float(a) for a in options["anchors"].split(",")]
            mask = [int(m) for m in options.get("mask", "").split(",") if m] or list(range(int(options["num"])))
            _, h, w = x.shape
            for i in range(h):
                for j in range(w):
                    for k, anchor in enumerate(mask):
                        entry = x[k * (5 + classes) : (k + 1) * (5 + classes), i, j]
                        box, score = decode(kind, options, entry, anchors[2 * anchor : 2 * anchor + 2])
                        unit = (w, h) if kind == "region" else (int(self.net["width"]), int(self.net["height"]))
                        x_mid, y_mid = (j + box[0]) / w, (i + box[1]) / h
                        bw, bh = box[2] / unit[0], box[3] / unit[1]
                        boxes.append((x_mid - bw / 2, y_mid - bh / 2, x_mid + bw / 2, y_mid + bh / 2))
                        scores.append(score)
        return np.asarray(boxes), np.asarray(scores)


def decode(kind: str, options: dict[str, str], entry: np.ndarray, anchor: list[float]) -> tuple[Any, np.ndarray]:
    """Centre within the cell, and width and height in the anchor's unit, of one entry; and the scores."""
    scale = float(options.get("scale_x_y", 1))
    if options.get("new_coords") == "1":
        centre = entry[:2] * scale - 0.5 * (scale - 1)
        size = [value * value * 4 * side for value, side in zip(entry[2:4], anchor, strict=True)]
        return (*centre, *size), entry[4] * entry[5:]
    logistic = 1 / (1 + np.exp(-entry.astype(float)))
    centre = logistic[:2] * scale - 0.5 * (scale - 1)
    size = [np.exp(float(value)) * side for value, side in zip(entry[2:4], anchor, strict=True)]
    classes = logistic[5:]
    if kind == "region" and options.get("softmax") == "1":
        e = np.exp(entry[5:] - entry[5:].max())
        classes = e / e.sum()
    return (*centre, *size), logistic[4] * classes
