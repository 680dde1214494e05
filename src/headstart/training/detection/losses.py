"""The loss of a detector, and which points learn which object.

An object is learned by the points that predict it best at present: task-aligned assignment (Feng et al., TOOD, arXiv
2108.07755) among its candidates (:func:`headstart.training.detection.points.candidates`). The loss of the classes is
varifocal (Zhang et al., arXiv 2008.13367), that of the boxes complete IoU (Zheng et al., arXiv 1911.08287) and the
distribution focal loss (Li et al., arXiv 2006.04388).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.training.detection.network import BINS, boxes_of
from headstart.training.detection.points import Points

_POINTS_PER_OBJECT = 10
_CLASS_POWER, _IOU_POWER = 1.0, 6.0  # of the alignment of a point with an object
_ALPHA, _GAMMA = 0.75, 2.0  # of points that show nothing, in the varifocal loss
_BOX_WEIGHT, _DISTRIBUTION_WEIGHT = 2.0, 0.5
_EPS = 1e-9


@dataclass(frozen=True)
class DetectionLoss:
    """The loss of a batch.

    Args:
        points: of the detector.
        n_classes: number of classes.
    """

    points: Points
    n_classes: int

    def __call__(self, class_logits: Any, distance_logits: Any, targets: dict[str, Any]) -> Any:
        """The loss, a scalar.

        Args:
            class_logits: (n, p, classes).
            distance_logits: (n, p, 4, BINS).
            targets: ``boxes`` float (n, g, 4) in pixels of the input; ``classes`` int (n, g); ``candidates`` int
                (n, g, k), -1 where there are none; ``counted`` float (n, p), 0 at points that may show anything. See
                :meth:`headstart.training.detection.targets.Targets.batch`.
        """
        from keras import ops

        centres, strides = self.points
        n, p = ops.shape(class_logits)[0], len(strides)
        boxes = ops.stop_gradient(boxes_of(distance_logits, centres, strides))
        assignment = self._assign(ops.stop_gradient(ops.sigmoid(class_logits)), boxes, targets)
        quality, point, is_learned = assignment["quality"], assignment["point"], assignment["is_learned"]
        total = ops.maximum(ops.sum(quality), 1.0)
        # Classes: the target of a point is how well it fits its object, at the class of that object.
        flat = ops.reshape(point + ops.arange(n)[:, None, None] * p, (-1,))
        objects = ops.broadcast_to(targets["classes"][..., None], ops.shape(point))
        cells = n * p * self.n_classes
        index = flat * self.n_classes + ops.reshape(objects, (-1,))
        index = ops.where(ops.reshape(is_learned, (-1,)), index, cells)  # the last one is for those that learn nothing
        dense = ops.segment_max(ops.reshape(quality, (-1,)), index, num_segments=cells + 1)[:-1]
        soft = ops.reshape(ops.maximum(dense, 0.0), ops.shape(class_logits))
        counted = ops.maximum(targets["counted"][..., None], ops.cast(soft > 0, "float32"))
        class_loss = ops.sum(counted * _varifocal(class_logits, soft)) / total
        # Boxes: of the points that learn an object.
        own = ops.take_along_axis(
            ops.reshape(distance_logits, (n, p, 4 * BINS)), ops.reshape(point, (n, -1))[..., None], axis=1
        )
        own = ops.reshape(own, (n, *point.shape[1:], 4, BINS))
        own_centres, own_strides = ops.take(centres, point, axis=0), ops.take(strides, point, axis=0)
        true = ops.broadcast_to(targets["boxes"][:, :, None], (*ops.shape(point), 4))
        box_loss = ops.sum(quality * (1 - _ciou(_boxes_at(own, own_centres, own_strides), true))) / total
        distribution_loss = ops.sum(quality * _distribution_focal(own, own_centres, own_strides, true)) / total
        return class_loss + _BOX_WEIGHT * box_loss + _DISTRIBUTION_WEIGHT * distribution_loss

    def _assign(self, scores: Any, boxes: Any, targets: dict[str, Any]) -> dict[str, Any]:
        """For each object the points that learn it: numbers, whether each one does, and its quality: (n, g, m)."""
        from keras import ops

        n, p = ops.shape(scores)[0], len(self.points.strides)
        numbers = targets["candidates"]
        g, k = numbers.shape[1:]
        is_candidate = numbers >= 0
        safe = ops.maximum(numbers, 0)
        flat = ops.reshape(safe, (n, -1))
        near = ops.reshape(ops.take_along_axis(boxes, flat[..., None], axis=1), (n, g, k, 4))
        iou = _iou(near, targets["boxes"][:, :, None]) * ops.cast(is_candidate, "float32")
        class_index = ops.reshape(ops.broadcast_to(targets["classes"][..., None], (n, g, k)), (n, -1))
        score = ops.reshape(
            ops.take_along_axis(ops.reshape(scores, (n, -1)), flat * self.n_classes + class_index, axis=1), (n, g, k)
        )
        alignment = score**_CLASS_POWER * iou**_IOU_POWER + _EPS * ops.cast(is_candidate, "float32")
        m = min(_POINTS_PER_OBJECT, k)
        best, position = ops.top_k(alignment, m)
        point = ops.take_along_axis(safe, position, axis=2)
        iou = ops.take_along_axis(iou, position, axis=2)
        usable = best > 0
        # A point that is among the best of several objects learns the one that it overlaps most.
        flat = ops.reshape(point + ops.arange(n)[:, None, None] * p, (-1,))
        rank = ops.reshape(ops.where(usable, iou, -1.0), (-1,))
        highest = ops.take(ops.segment_max(rank, flat, num_segments=n * p), flat)
        is_learned = ops.logical_and(usable, ops.reshape(rank >= highest, ops.shape(point)))
        best = ops.where(is_learned, best, 0.0)
        iou = ops.where(is_learned, iou, 0.0)
        quality = best / ops.maximum(ops.max(best, -1, keepdims=True), _EPS) * ops.max(iou, -1, keepdims=True)
        return {"point": point, "is_learned": is_learned, "quality": quality}


def _varifocal(logits: Any, target: Any) -> Any:
    from keras import ops

    scores = ops.sigmoid(logits)
    weight = ops.where(target > 0, target, _ALPHA * ops.stop_gradient(scores) ** _GAMMA)
    # log(1 + e^-|x|) is stable for large logits
    cross_entropy = ops.maximum(logits, 0.0) - logits * target + ops.log1p(ops.exp(-ops.abs(logits)))
    return weight * cross_entropy


def _iou(first: Any, second: Any) -> Any:
    from keras import ops

    low, high = ops.maximum(first[..., :2], second[..., :2]), ops.minimum(first[..., 2:], second[..., 2:])
    sides = ops.maximum(high - low, 0.0)
    common = sides[..., 0] * sides[..., 1]
    return common / ops.maximum(_area(first) + _area(second) - common, _EPS)


def _area(boxes: Any) -> Any:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _ciou(first: Any, second: Any) -> Any:
    from keras import ops

    iou = _iou(first, second)
    low, high = ops.minimum(first[..., :2], second[..., :2]), ops.maximum(first[..., 2:], second[..., 2:])
    diagonal = ops.sum((high - low) ** 2, -1) + 1e-7
    apart = ops.sum((first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) ** 2, -1) / 4
    angles = [ops.arctan((b[..., 2] - b[..., 0]) / ops.maximum(b[..., 3] - b[..., 1], 1e-3)) for b in (first, second)]
    v = 4 / math.pi**2 * (angles[1] - angles[0]) ** 2
    alpha = ops.stop_gradient(v / ops.maximum(1 - iou + v, 1e-7))
    return iou - apart / diagonal - alpha * v


def _boxes_at(logits: Any, centres: Any, strides: Any) -> Any:
    from keras import ops

    distances = ops.sum(ops.softmax(logits, -1) * np.arange(BINS, dtype=np.float32), -1) * strides[..., None]
    return ops.concatenate([centres - distances[..., :2], centres + distances[..., 2:]], -1)


def _distribution_focal(logits: Any, centres: Any, strides: Any, true: Any) -> Any:
    """Cross-entropy with the two bins on both sides of the true distance: mean of the four sides (n, g, m)."""
    from keras import ops

    distances = ops.concatenate([centres - true[..., :2], true[..., 2:] - centres], -1) / strides[..., None]
    distances = ops.clip(distances, 0.0, BINS - 1.01)
    lower = ops.floor(distances)
    share = distances - lower
    log_shares = ops.log_softmax(logits, -1)
    lower = ops.cast(lower, "int32")
    left = ops.take_along_axis(log_shares, lower[..., None], -1)[..., 0]
    right = ops.take_along_axis(log_shares, lower[..., None] + 1, -1)[..., 0]
    return -ops.mean((1 - share) * left + share * right, -1)
