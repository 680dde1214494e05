"""Assigns the weights of a Keras 2 file to the rebuilt model.

HDF5 has one group for each layer of the model, with its weights in one list: of a nested model first all trainable
ones, then the others. An archive has one group for each layer at any depth, named by its class and its number.
Weights are assigned only after all of them have been matched by shape and name, with none left over on either side.
"""

import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.bases.keras2.graph import Part
from headstart.bases.keras2.recurrent import cudnn_shape, from_cudnn, scale_hard_gates
from headstart.bases.model_config import WEIGHTS, ModelFile, text_list
from headstart.errors import InputError
from headstart.system import keras_compat

_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""Names of the group with the layers of a model in an archive; they differ between versions."""

_COUNTS_TWICE = "_layer_checkpoint_dependencies"
"""The container of Keras 2.12, which lists a layer with weights under two names; both take a number."""

_NOT_OF_THE_MODEL = ("optimizer", "metrics", "compiled_metrics", "compiled_loss", "loss")
_NAMES = {
    "DepthwiseConv1D": {"kernel": "depthwise_kernel"},
    "DepthwiseConv2D": {"kernel": "depthwise_kernel"},
    "LayerScale": {"variable": "gamma"},
}
"""Class -> name of a weight in Keras 3 -> its name in Keras 2."""


@dataclass(frozen=True)
class _Place:
    """A weight of the rebuilt model.

    Attributes:
        owner: name of its layer in the file.
        name: its name in Keras 2, such as ``kernel``.
        variable: of Keras 3.
        cudnn_gates: number of gates of its layer, if the file has cuDNN's layout; else 0.
    """

    owner: str
    name: str
    variable: Any
    cudnn_gates: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in the file."""
        shape = tuple(self.variable.shape)
        return cudnn_shape(self.name, shape) if self.cudnn_gates else shape

    def assign(self, values: np.ndarray) -> None:
        """Give it the values of the file."""
        self.variable.assign(from_cudnn(self.name, values, self.cudnn_gates) if self.cudnn_gates else values)

    def __str__(self) -> str:
        return f"{self.owner}/{self.name} {self.shape}"


_Saved = list[tuple[str, np.ndarray]]
"""Name in the file and values of weights, in the file's order."""


def load_weights(file: ModelFile, model: Part) -> None:
    """Give the model the weights of its file, then freeze what was frozen.

    Raises:
        InputError: a weight is missing, left over, or of another shape.
    """
    pairs = _pairs_of_archive(file, model) if file.is_archive else _pairs_of_hdf5(file, model)
    for place, values in pairs:
        place.assign(values)
    for part in _leaves(model):
        if hasattr(part.layer, "finalize_state"):
            part.layer.finalize_state()
    for layer in keras_compat.all_layers(model.layer):
        scale_hard_gates(layer)
    _freeze(model)


def _freeze(part: Part) -> None:
    for child in part.parts.values():
        _freeze(child)
    if part.layer is not None and not part.trainable:
        part.layer.trainable = False


def _leaves(part: Part) -> Iterator[Part]:
    if not part.parts:
        yield part
    for child in part.parts.values():
        yield from _leaves(child)


def _own_places(part: Part) -> tuple[list[_Place], list[_Place]]:
    """The trainable and the other weights of a layer that is no model, by kind and not by its flag."""
    if part.layer is None:
        return [], []
    names = _NAMES.get(type(part.layer).__name__, {})
    lists = (part.layer.trainable_weights, part.layer.non_trainable_weights)
    trainable, non_trainable = (
        [
            _Place(part.name, _old_name(weight.name, names), weight, part.cudnn_gates)
            for weight in weights
            if _is_weight(weight)
        ]
        for weights in lists
    )
    return trainable, non_trainable


def _old_name(name: str, names: Mapping[str, str]) -> str:
    """The name of a weight in Keras 2. Keras 3 numbers weights without a name, through all models of a process."""
    plain = re.sub(r"^variable_\d+$", "variable", name)
    return names.get(plain, name)


def _is_weight(variable: Any) -> bool:
    """Whether a variable is a weight and no counter: a Normalization counts images."""
    return "float" in str(variable.dtype)


def _places(part: Part) -> tuple[list[_Place], list[_Place]]:
    """Trainable and other weights in the order of Keras 2's HDF5."""
    if part.parts:  # a model, or TimeDistributed
        parts = [_places(child) for child in part.parts.values()]
        trainable, non_trainable = ([place for lists in parts for place in lists[i]] for i in (0, 1))
    else:
        trainable, non_trainable = _own_places(part)
    return (trainable, non_trainable) if part.trainable else ([], trainable + non_trainable)


# --- HDF5 ----------------------------------------------------------------------------------------------------------


def _pairs_of_hdf5(file: ModelFile, model: Part) -> list[tuple[_Place, np.ndarray]]:
    import h5py

    with h5py.File(file.path) as content:
        root = content.get("model_weights", content)
        names = text_list(root, "layer_names") or list(root)
        groups = {name: _saved_weights(root[name]) for name in names}
        if "top_level_model_weights" in root:
            groups["top_level_model_weights"] = _saved_weights(root["top_level_model_weights"])
    places = {
        name: [*trainable, *non_trainable]
        for name, part in model.parts.items()
        for trainable, non_trainable in [_places(part)]
    }
    saved = {name: groups.pop(name, []) for name in places}
    # A layer without a name in the config, or with another one: Keras 2 takes the groups in their order.
    without_group = [name for name in places if places[name] and not saved[name]]
    without_layer = [name for name in groups if groups[name]]
    if len(without_group) == len(without_layer):
        saved.update((name, groups.pop(group)) for name, group in zip(without_group, without_layer, strict=True))
    pairs = [pair for name in places for pair in _match(file, name, places[name], saved[name])]
    left_over = [weight for group in groups.values() for weight, _ in group]
    if left_over:
        raise _mismatch(file, f"the weights {_join_names(left_over)} belong to no layer of its config")
    return pairs


def _saved_weights(group: Any) -> _Saved:
    names = text_list(group, "weight_names")
    weights = [(name, np.asarray(group[name])) for name in names]
    # The state of the random generators of augmentation, and the number of images that a Normalization has seen.
    return [(name, values) for name, values in weights if values.dtype.kind == "f"]


def _last_name(name: str) -> str:
    return name.partition(":")[0].rpartition("/")[2]


def _match(file: ModelFile, layer: str, places: list[_Place], saved: _Saved) -> list[tuple[_Place, np.ndarray]]:
    """Pair the weights of one layer of the model with those of its group: in the order of Keras 2, else by names."""
    in_order = len(places) == len(saved) and all(map(_fits, places, saved))
    if in_order and not _contradicts(places, saved):
        return [(place, values) for place, (_, values) in zip(places, saved, strict=True)]
    pairs, unmatched = [], list(saved)
    for place in places:
        matches = [weight for weight in unmatched if _is_named_after(place, weight[0]) and _fits(place, weight)]
        if len(matches) != 1:
            raise _unplaced(file, layer, place, saved)
        unmatched.remove(matches[0])
        pairs.append((place, matches[0][1]))
    if unmatched:
        raise _mismatch(
            file, f"the weights {_join_names(name for name, _ in unmatched)} of {layer!r} belong to no layer in it"
        )
    return pairs


def _fits(place: _Place, weight: tuple[str, np.ndarray]) -> bool:
    name, values = weight
    return values.shape == place.shape and re.sub(r"_\d+$", "", _last_name(name)) == place.name


def _is_named_after(place: _Place, name: str) -> bool:
    return place.owner in name.split("/")[:-1] or f"/{place.owner}/" in f"/{name}"


def _contradicts(places: list[_Place], saved: _Saved) -> bool:
    """Whether names contradict the order: a weight has the name of another layer than the one at its position."""
    owners = {place.owner for place in places}
    return any(
        not _is_named_after(place, name) and any(_is_named_after(_Place(owner, "", None), name) for owner in owners)
        for place, (name, _) in zip(places, saved, strict=True)
    )


# --- archives ------------------------------------------------------------------------------------------------------


def _pairs_of_archive(file: ModelFile, model: Part) -> list[tuple[_Place, np.ndarray]]:
    groups = _read_archive(file)
    try:
        return _pairs_of_groups(file, model, dict(groups), None)
    except InputError:
        # Layers that several nested models share are in the file once; the config does not say which ones.
        with suppress(InputError):
            return _pairs_of_groups(file, model, groups, {})
        raise


def _pairs_of_groups(
    file: ModelFile, model: Part, groups: dict[str, list[np.ndarray]], shared: dict[Any, Part] | None
) -> list[tuple[_Place, np.ndarray]]:
    """Pair all weights with those of the groups, which are taken out.

    Args:
        file: for messages.
        model: the rebuilt model.
        groups: from :func:`_read_archive`.
        shared: collects the layers by what identifies them; a later one that is identified in the same way is taken
            for the same layer. None if there are no such layers.
    """
    pairs = [
        pair
        for prefix, part in _prefixes(model, "", groups, shared)
        for pair in _match_layer(file, part, prefix, groups)
    ]
    placed = {id(place.variable): values for place, values in pairs}
    missing = []
    for part in _leaves(model):
        first = (shared or {}).get(_identity(part), part)
        for place, source in zip(_all_places(part), _all_places(first), strict=True):
            if id(place.variable) not in placed and id(source.variable) in placed:
                pairs.append((place, placed[id(source.variable)]))
            elif id(place.variable) not in placed:
                missing.append(str(place))
    if missing:
        raise _mismatch(file, f"it has no weights for {_join_names(missing)}")
    left_over = [name for name in groups if groups[name] and not name.startswith(_NOT_OF_THE_MODEL)]
    if left_over:
        raise _mismatch(file, f"the weights {_join_names(left_over)} belong to no layer of its config")
    return pairs


def _all_places(part: Part) -> list[_Place]:
    trainable, non_trainable = _places(part)
    return [*trainable, *non_trainable]


def _identity(part: Part) -> Any:
    """What two uses of the same layer have in common: name, class and shapes of weights."""
    return part.name, part.kind, tuple(place.shape for place in _all_places(part))


def _read_archive(file: ModelFile) -> dict[str, list[np.ndarray]]:
    """Group of a layer -> its weights in order. States of random generators and counters, which are no floats, are not.

    On Windows, Keras 2 wrote the parts of a group's name with backslashes between them.
    """
    import h5py

    datasets: dict[str, dict[int, np.ndarray]] = {}

    def visit(name: str, item: Any) -> None:
        group, _, number = name.replace("\\", "/").rpartition("/")
        if isinstance(item, h5py.Dataset) and number.isdigit() and item.dtype.kind == "f":
            datasets.setdefault(group.removesuffix("vars").rstrip("/"), {})[int(number)] = np.asarray(item)

    with zipfile.ZipFile(file.path) as archive, h5py.File(io.BytesIO(archive.read(WEIGHTS))) as content:
        content.visititems(visit)
    return {group: [values for _, values in sorted(numbered.items())] for group, numbered in datasets.items()}


def _prefixes(
    part: Part, prefix: str, groups: dict[str, Any], shared: dict[Any, Part] | None
) -> Iterator[tuple[str, Part]]:
    """The layers without parts, with the names of their groups; each shared one only once."""
    if not part.parts:
        yield prefix, part
        return
    if not part.is_model:
        for name, child in part.parts.items():
            yield from _prefixes(child, f"{prefix}/{name}", groups, shared)
        return
    candidates = [f"{prefix}/{name}".lstrip("/") for name in _CONTAINERS]
    present = [name for name in candidates if any(group.startswith(f"{name}/") for group in groups)]
    container = present[0] if present else candidates[0]
    counts_twice = container.endswith(_COUNTS_TWICE)
    counts: Counter[str] = Counter()
    for child in part.parts.values():
        is_known = shared is not None and shared.setdefault(_identity(child), child) is not child
        if is_known and not counts_twice:
            continue
        name = _snake_case(child.kind)
        number = f"_{counts[name]}" if counts[name] else ""
        counts[name] += 2 if counts_twice and _all_places(child) else 1
        if not is_known:
            yield from _prefixes(child, f"{container}/{name}{number}", groups, shared)


def _snake_case(name: str) -> str:
    """The name of a layer's group, from its class."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _match_layer(
    file: ModelFile, part: Part, prefix: str, groups: dict[str, list[np.ndarray]]
) -> Iterator[tuple[_Place, np.ndarray]]:
    """Pair the weights of a layer, and of the layers inside it, with those of its groups, which are taken out."""
    for group in [name for name in groups if name == prefix or name.startswith(f"{prefix}/")]:
        values = groups.pop(group)
        layer = keras_compat.inner_layer(part.layer, group[len(prefix) + 1 :]) if part.layer is not None else None
        places = [
            _Place(part.name, weight.name, weight, part.cudnn_gates)
            for weight in getattr(layer, "weights", ())
            if _is_weight(weight)
        ]
        if [place.shape for place in places] != [array.shape for array in values]:
            shapes = _join_names(str(array.shape) for array in values)
            raise _mismatch(
                file,
                f"the layer {part.name!r} has weights of the shapes {shapes} in {group!r}, but its config expects "
                f"{_join_names(map(str, places)) or 'none'}",
            )
        yield from zip(places, values, strict=True)


# --- messages ------------------------------------------------------------------------------------------------------


def _unplaced(file: ModelFile, layer: str, place: _Place, saved: _Saved) -> InputError:
    names = _join_names(f"{name} {values.shape}" for name, values in saved)
    return _mismatch(file, f"it has no weight {place} for its layer {layer!r}; it has {names or 'none'}")


def _mismatch(file: ModelFile, reason: str) -> InputError:
    return InputError(
        f"{file}: weights and config do not belong together: {reason}. The file is damaged, or was put together from "
        "two models. Save the model again with the version of Keras that wrote it."
    )


def _join_names(names: Any) -> str:
    items = list(names)
    return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")
