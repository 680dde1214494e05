"""The trainable part of a base: its upper blocks, unfrozen, as a Keras network from cached views to features."""

from pathlib import Path
from typing import Any

from headstart.bases import Base
from headstart.bases.blocks import Block, find_blocks
from headstart.bases.derived import save_weights, truncate_after
from headstart.config import FineTuneConfig
from headstart.system import keras_compat
from headstart.training.fine_tuning import lora
from headstart.training.fine_tuning.pointwise import as_products

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


class TrainablePart:
    """The upper blocks of a base.

    Every BatchNormalization stays untrainable, and so in inference mode, unless the config says otherwise: Keras up to
    3.15.1 would change its statistics even under ``training=False`` (keras issue 20285).

    Args:
        base: the base.
        n_blocks: how many of its blocks are trained, counted from the features down.

    Attributes:
        network: the whole base as a Keras model; its frozen layers stay as they are.
        blocks: the blocks that are trained, the lowest one first.
        boundary: the uppermost frozen block; None where all are trained.
        variables: of the base, what training changes; empty before :meth:`unfreeze`.
    """

    def __init__(self, base: Base, n_blocks: int) -> None:
        self._base, self.network = base, base.build(False)
        as_products(self.network)
        blocks = find_blocks(self.network)
        n_frozen = len(blocks) - n_blocks
        self.blocks: tuple[Block, ...] = blocks[n_frozen:]
        self.boundary: Block | None = blocks[n_frozen - 1] if n_frozen else None
        self.variables: list[Any] = []
        self._adapted: list[Any] = []

    def frozen_part(self) -> Any:
        """What lies below these blocks as a Keras model of its own; None where nothing does."""
        return truncate_after(self._base, self.boundary.name).model() if self.boundary else None

    def unfreeze(self, config: FineTuneConfig) -> None:
        """Make the layers of these blocks trainable, and no others.

        Raises:
            InputError: low-rank changes are to be trained, and there is no Dense layer.
        """
        import keras

        names = {name for block in self.blocks for name in block.layers}
        self.network.trainable = True
        statistics = []
        for layer in self.network.layers:
            layer.trainable = layer.name in names
            for inner in keras_compat.all_layers(layer):
                if isinstance(inner, keras.layers.BatchNormalization):
                    inner.trainable = layer.trainable and config.train_batch_norm
                    statistics += [inner.moving_mean, inner.moving_variance] if inner.trainable else []
        if config.lora:
            trainable = [layer for layer in self.network.layers if layer.trainable]
            self._adapted = lora.adapt(trainable, config.lora)
        self.variables = [*self.network.trainable_weights, *statistics]

    def frozen_weights(self) -> list[Any]:
        """All weights of the base that are the same after training."""
        merged = map(keras_compat.stored_kernel, self._adapted)  # these change when training is over
        changing = set(map(id, [*self.variables, *merged]))
        return [weight for weight in self.network.weights if id(weight) not in changing]

    def features(self, view_shape: tuple[int, ...], precision: str) -> tuple[Any, Any]:
        """A Keras input for views, and the features of the base as a symbolic tensor.

        Args:
            view_shape: of one view, where a part of the base is frozen; texts of any length are taken.
            precision: of the arithmetic, ``float32`` or ``bfloat16``.
        """
        import keras

        for layer in self.network.layers:
            layer.dtype_policy = _POLICIES[precision]
        if self.boundary is None:
            start, x = self._base.input_tensors()
            return start, self._base.features(self.network(x))
        start = keras.Input(view_shape if self._base.modality.has_pixels else (None, *view_shape[1:]))
        upper = keras.Model(self.boundary.output, self.network.outputs[0], name="trainable_part")
        return start, self._base.features(upper(start))

    def save(self, path: Path) -> None:
        """Write the changed weights of the base as ``.npz``; low-rank changes become part of their kernels."""
        kernels = [keras_compat.stored_kernel(layer) for layer in self._adapted]
        lora.merge(self._adapted)
        save_weights(self.network, kernels or self.variables, path)
