"""Weights files of Keras Applications: find, fetch, check and load them.

Files are read from and stored in Keras's own folder under Keras's own names, so that Keras and headstart share them.
Unlike Keras, headstart never deletes a file there: Keras takes one with an unexpected digest for stale, removes it and
downloads again, which offline means that a file its user put there by hand is simply gone.
"""

import hashlib
import http.client
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from headstart.bases.bundle import not_here, why_offline
from headstart.bases.download import download
from headstart.errors import InputError, IntegrityError, UnavailableError

_MOST_TOP_LAYERS = 3  # VGG's top has three layers with weights, MobileNetV3's two, all others one


class Published(NamedTuple):
    """A weights file that Keras publishes.

    Args:
        file: its name in Keras's folder.
        url: where it comes from; the last part may differ from ``file``.
        digest: hex MD5 or SHA-256 as Keras states it, or an empty string where Keras states none.
    """

    file: str
    url: str
    digest: str


def keras_folder() -> Path:
    """Where Keras keeps downloaded weights: ``$KERAS_HOME/models``, else ``~/.keras/models``."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path("~/.keras")).expanduser() / "models"


def find_or_fetch(published: Published, handle: str, folder: str | None = None) -> Path:
    """The path of a published file: from Keras's folder, or downloaded into it.

    Args:
        published: the file.
        handle: of the base it belongs to, for messages.
        folder: where it has to be instead, already checked.

    Raises:
        IntegrityError: the file, here or as it arrived, is not what Keras publishes.
        UnavailableError: it is not here and cannot be fetched.
    """
    if folder:
        path = Path(folder, published.file)
        if not path.is_file():
            raise _unavailable(published, path, handle, f"{folder} has no {published.file}")
        return path
    path = keras_folder() / published.file
    if not path.is_file():
        fetch(published, path, handle)
    elif not _is_intact(path, published.digest):
        raise IntegrityError(
            f"{path} is not the file Keras publishes for {handle}: its digest is not {published.digest}, so it is "
            "damaged or something else. It was left as it is: move it away to have it downloaded again, or use it "
            f"on purpose with --weights {path}"
        )
    return path


def fetch(published: Published, path: Path, handle: str) -> None:
    """Download a published file: into ``.partial`` beside it, checked, then renamed, so a name never holds a torso.

    Raises:
        IntegrityError: what arrived has another digest than Keras states; it is discarded.
        UnavailableError: there is no network, or it must not be used.
    """
    offline = why_offline()
    if offline:
        raise _unavailable(published, path, handle, offline)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if path.is_file():  # another process was faster
                return
            download(published.url, partial)
            if not _is_intact(partial, published.digest):
                partial.unlink()
                raise IntegrityError(
                    f"what arrived from {published.url} is not the file Keras publishes for {handle}: its digest is "
                    f"not {published.digest}. It was discarded; is there a proxy or a login page in between?"
                )
            partial.replace(path)
    except (OSError, http.client.HTTPException) as exc:  # urllib's own errors are OSErrors
        partial.unlink(missing_ok=True)
        raise _unavailable(published, path, handle, str(exc)) from exc


def _unavailable(published: Published, path: Path, handle: str, reason: str) -> UnavailableError:
    url_name = published.url.rpartition("/")[2]
    renamed = "" if url_name == path.name else f" under the name {path.name}"
    return not_here(
        handle,
        reason,
        f"Or get {url_name} from {published.url} and put it into {keras_folder()}{renamed}, or name any copy with "
        "--weights PATH. Without network there are embedded:efficientnet-lite0 and your own models (file:PATH).",
    )


def _is_intact(path: Path, digest: str) -> bool:
    if not digest:
        return True
    make = hashlib.sha256 if len(digest) == 64 else lambda: hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, make).hexdigest() == digest


def load_weights(network: Any, path: Path, handle: str) -> None:
    """Load a ``.h5`` (Keras 1, 2 and Keras Applications), ``.weights.h5`` or ``.keras`` file into a Keras model.

    Where the file also has the original top and the network has none, the top is left out.

    Raises:
        InputError: the file does not belong to this architecture, or is no weights file.
    """
    try:
        _load(network, path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, zipfile.BadZipFile) as exc:
        reason = " ".join(str(exc).split())
        raise InputError(
            f"the weights file {path} does not fit {handle}: {reason[:400]}. "
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
            raise ValueError("it is in Keras 3's own format, for which its name must end in '.weights.h5'")
    _load_named(network, path)


def _load_named(network: Any, path: Path) -> None:
    """Let Keras load its own formats, in which layers have names; a top that is not wanted is left out by itself.

    Keras only warns where parts of the network find nothing in the file, and warns of much that does not matter; so
    the proof that everything was loaded is that no value stays what it is set to here.
    """
    floats = [variable for variable in network.weights if "float" in str(variable.dtype)]
    for variable in floats:
        variable.assign(np.full(tuple(variable.shape), np.nan, np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        network.load_weights(path)
    missing = [variable.path for variable in floats if np.isnan(np.asarray(variable)).any()]
    if missing:
        raise ValueError(f"{len(missing)} of {len(floats)} weights are not in it, {missing[0]} among them")


def _load_legacy(network: Any, group: Any) -> None:
    """Assign by position, as this format wants it: layers that have weights, in order, and a top possibly after them.

    Kernels are stored alike for both channel orders, so nothing needs to be transposed.
    """
    layers = [layer for layer in network.layers if layer.weights]
    stored = [group[name] for name in _names(group, "layer_names") if _names(group[name], "weight_names")]
    if len(stored) < len(layers) or len(stored) > len(layers) + _MOST_TOP_LAYERS:
        raise ValueError(f"it has {len(stored)} layers with weights where {len(layers)} were expected")
    for layer, part in zip(layers, stored, strict=False):
        names = _names(part, "weight_names")
        variables = layer.trainable_weights + layer.non_trainable_weights  # the format's order
        shapes = [tuple(part[name].shape) for name in names]
        expected = [tuple(variable.shape) for variable in variables]
        if shapes != expected:
            raise ValueError(f"its layer {part.name!r} has weights of shapes {shapes} where {expected} were expected")
        for variable, name in zip(variables, names, strict=True):
            variable.assign(part[name][()])
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names; HDF5 limits the size of an attribute, so a long one is spread over several."""
    if attribute in group.attrs:
        values = list(group.attrs[attribute])
    else:
        values, part = [], 0
        while f"{attribute}{part}" in group.attrs:
            values += list(group.attrs[f"{attribute}{part}"])
            part += 1
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]
