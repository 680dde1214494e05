"""Weights files of Keras Applications: find, download, check and load them.

Files are read from and stored in Keras's own folder under Keras's own names, so that Keras and headstart share them.
Unlike Keras, headstart never deletes a file there: Keras deletes a file with an unexpected digest and downloads it
again, so that without network a file copied there by hand is lost.
"""

import hashlib
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headstart.bases.bundle import offline_reason, unavailable_error
from headstart.bases.download import download
from headstart.bases.model_config import text_list
from headstart.errors import InputError, IntegrityError, UnavailableError, field_name, one_line
from headstart.system.progress import NO_PROGRESS, Progress

_MAX_TOP_LAYERS = 3  # VGG's top has three layers with weights, MobileNetV3's two, all others one


class Published(NamedTuple):
    """A weights file that Keras publishes.

    Args:
        file: its name in Keras's folder.
        url: to download it from; the last part may differ from ``file``.
        digest: hex MD5 or SHA-256 as Keras states it, or an empty string if Keras states none.
    """

    file: str
    url: str
    digest: str


def keras_folder() -> Path:
    """Keras's folder for downloaded weights: ``$KERAS_HOME/models``, else ``~/.keras/models``."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path("~/.keras")).expanduser() / "models"


def find_or_fetch(
    published: Published, handle: str, folder: str | None = None, progress: Progress = NO_PROGRESS
) -> Path:
    """The path of a published file: in Keras's folder, after a download if necessary.

    Args:
        published: the file.
        handle: of the base it belongs to, for messages.
        folder: of a bundle, already checked, that must contain the file; None means Keras's folder.
        progress: follows the download.

    Raises:
        IntegrityError: the file differs from the file that Keras publishes.
        UnavailableError: it is not on this machine and cannot be downloaded.
    """
    if folder:
        path = Path(folder, published.file)
        if not path.is_file():
            raise _unavailable(published, path, handle, f"{folder} has no {published.file}")
        return path
    path = keras_folder() / published.file
    if not path.is_file():
        fetch(published, path, handle, progress)
    elif not _is_intact(path, published.digest):
        raise IntegrityError(
            f"{path} is not the file Keras publishes for {handle}: its digest is not {published.digest}. It was not "
            f"changed. Move it away to download the file again, or set {field_name('weights', path)} to use it anyway."
        )
    return path


def fetch(published: Published, path: Path, handle: str, progress: Progress = NO_PROGRESS) -> None:
    """Download a published file; it appears under its name complete and checked, or not at all.

    Raises:
        IntegrityError: the file has another digest than Keras states; it was deleted.
        UnavailableError: no network, or downloads are disabled.
    """
    reason = offline_reason()
    if reason:
        raise _unavailable(published, path, handle, reason)
    try:
        download(published.url, path, digest=published.digest, progress=progress)
    except OSError as exc:
        raise _unavailable(published, path, handle, str(exc)) from exc
    except IntegrityError as exc:
        raise IntegrityError(
            f"the file from {published.url} is not the file Keras publishes for {handle}: its digest is not "
            f"{published.digest}. It was deleted. Check whether a proxy or a login page answered instead."
        ) from exc


def _unavailable(published: Published, path: Path, handle: str, reason: str) -> UnavailableError:
    url_name = published.url.rpartition("/")[2]
    new_name = "" if url_name == path.name else f" under the name {path.name}"
    return unavailable_error(
        handle,
        reason,
        f"Or download {url_name} from {published.url} and put it into {keras_folder()}{new_name}, or set "
        f"{field_name('weights', 'PATH')} for any copy. No network is needed for embedded:efficientnet-lite0 and your "
        "own models (file:PATH).",
    )


def _is_intact(path: Path, digest: str) -> bool:
    if not digest:
        return True
    hash_function = hashlib.sha256 if len(digest) == 64 else lambda: hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, hash_function).hexdigest() == digest


def load_weights(network: Any, path: Path, handle: str) -> None:
    """Load a ``.h5`` (Keras 1, 2 and Keras Applications), ``.weights.h5`` or ``.keras`` file into a Keras model.

    If the file contains the original top and the network has none, the top is skipped.

    Raises:
        InputError: the file is not a weights file, or belongs to another architecture.
    """
    try:
        _load(network, path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, zipfile.BadZipFile) as exc:
        raise InputError(
            f"the weights file {path} does not match {handle}: {one_line(str(exc))}. "
            "Expected weights of the same architecture and options, as .h5, .weights.h5 or .keras."
        ) from exc


def _load(network: Any, path: Path) -> None:
    import h5py

    if path.suffix != ".keras":
        with h5py.File(path) as file:
            group = file.get("model_weights", file)
            if "layer_names" in group.attrs or "layer_names0" in group.attrs:
                _load_legacy(network, group)
                return
        if not path.name.endswith(".weights.h5"):
            raise ValueError("it is in Keras 3's own format, and its name must then end in '.weights.h5'")
    _load_named(network, path)


def _load_named(network: Any, path: Path) -> None:
    """Let Keras load its own formats, in which layers have names; it skips a top that the network does not have.

    Keras only warns if the file lacks weights of the network, among many warnings that do not matter. All weights are
    therefore set to NaN first: after loading, none may be left.
    """
    floats = [variable for variable in network.weights if "float" in str(variable.dtype)]
    for variable in floats:
        variable.assign(np.full(tuple(variable.shape), np.nan, np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        network.load_weights(path)
    missing = [variable.path for variable in floats if np.isnan(np.asarray(variable)).any()]
    if missing:
        raise ValueError(f"{len(missing)} of {len(floats)} weights are not in it, for example {missing[0]}")


def _load_legacy(network: Any, group: Any) -> None:
    """Assign by position, as this format requires: layers with weights, in order, with an optional top at the end.

    Kernels are stored in the same way for both channel orders, so nothing is transposed.
    """
    layers = [layer for layer in network.layers if layer.weights]
    stored = [group[name] for name in text_list(group, "layer_names") if text_list(group[name], "weight_names")]
    if len(stored) < len(layers) or len(stored) > len(layers) + _MAX_TOP_LAYERS:
        raise ValueError(f"it has {len(stored)} layers with weights where {len(layers)} were expected")
    for layer, part in zip(layers, stored, strict=False):
        names = text_list(part, "weight_names")
        variables = layer.trainable_weights + layer.non_trainable_weights  # the format's order
        shapes = [tuple(part[name].shape) for name in names]
        expected = [tuple(variable.shape) for variable in variables]
        if shapes != expected:
            raise ValueError(f"its layer {part.name!r} has weights of shapes {shapes} where {expected} were expected")
        for variable, name in zip(variables, names, strict=True):
            variable.assign(part[name][()])
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
