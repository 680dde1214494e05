"""Where a data set in YOLO's form has its images, and what its classes are called: YAML, or Darknet's .data."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from headstart.data.boxes.parsing import read_text
from headstart.data.boxes.records import number
from headstart.data.split_names import split_of
from headstart.errors import BadExample, InputError, field_name

_NOTHING = ("", "~", "null", "Null", "NULL")
_USUAL_NAMES = ("data", "dataset", "obj")
_NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt")
_SPLIT_KEYS = ("train", "val", "valid", "validation", "test")


@dataclass(frozen=True)
class YoloConfig:
    """A description of a data set.

    Attributes:
        path: of the file.
        classes: number -> name.
        sources: split -> folders of images, and lists of images, as they are written.
        base: folder that they are relative to, as it is written; empty for that of the file.
        n_keypoints: numbers after the box in a row, of keypoints; 0 where there are none.
    """

    path: Path
    classes: dict[int, str]
    sources: dict[str, list[str]] = field(default_factory=dict)
    base: str = ""
    n_keypoints: int = 0

    @property
    def folders(self) -> list[Path]:
        """Folders that paths may be relative to, the likeliest first."""
        own = self.path.parent
        return [own / self.base, own] if self.base else [own]

    def locate(self, name: str) -> Path | None:
        """A folder or a list that the file names; None if it is not there.

        ``../train/images`` is found as ``train/images``, and ``data/train.txt`` as ``train.txt``, too: some exports
        count from a folder that they do not have.
        """
        inner = re.sub(r"^(\.\./)+", "", name.replace("\\", "/"))
        names = [name, inner, *([PurePath(inner).name] if PurePath(inner).suffix else [])]
        candidates = (folder / part for part in names for folder in self.folders)
        return next((path for path in candidates if path.exists()), None)


def find_config(files: Sequence[Path], root: Path) -> YoloConfig:
    """The description of a data set.

    Args:
        files: descriptions, of which there may be one only; or folders of label files.
        root: folder of the data.

    Raises:
        InputError: there are several, or it cannot be read.
    """
    descriptions = [file for file in files if file.is_file()]
    usual_files = [file for file in descriptions if file.stem in _USUAL_NAMES]
    if len(descriptions) > 1 and len(usual_files) != 1:
        names = " and ".join(file.name for file in descriptions)
        raise InputError(
            f"{root} has {len(descriptions)} descriptions of a data set: {names}. Name the one to use "
            f"({field_name('annotations')})."
        )
    folders = dict.fromkeys([root, *(folder for file in files for folder in (file, file.parent))])
    try:
        config = YoloConfig(root, {})
        if descriptions:
            (path,) = usual_files or descriptions
            config = read_darknet(path) if path.suffix.lower() == ".data" else read_yaml(path)
        return config if config.classes else replace(config, classes=_listed_names([*folders], root))
    except BadExample as exc:
        raise InputError(f"cannot read the description of the data {descriptions[0]}: {exc}.") from exc


def _listed_names(folders: Sequence[Path], root: Path) -> dict[int, str]:
    """Number -> name, from a list beside the labels; or from what describes the data set that a split is part of."""
    files = (folder / name for folder in (*folders, root.parent) for name in _NAME_FILES)
    if path := next((file for file in files if file.is_file()), None):
        return _read_names(path)
    descriptions = (root.parent / f"{name}.yaml" for name in _USUAL_NAMES)
    path = next((file for file in descriptions if file.is_file()), None)
    return read_yaml(path).classes if path else {}


def read_yaml(path: Path) -> YoloConfig:
    """Read the YAML file of a data set.

    Every scalar is read as text: in YAML's own types, the classes ``no`` and ``on`` would be a truth value, and ``1_0``
    a number.

    Raises:
        BadExample: it cannot be read, or is not YAML.
        InputError: its names are neither a list nor numbered.
    """
    import yaml

    try:
        content = yaml.load(read_text(path), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as exc:
        raise BadExample(f"not YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(content, dict):
        raise BadExample("not the YAML of a data set: it has no names for its values")
    shape = content.get("kpt_shape")
    sizes = [number(size) for size in shape] if isinstance(shape, list) else []
    return YoloConfig(
        path,
        _names(path, content.get("names")),
        {
            split_of(key): [item for item in _as_list(content[key]) if item not in _NOTHING]
            for key in _SPLIT_KEYS
            if key in content
        },
        str(content.get("path", "")) if content.get("path") not in _NOTHING else "",
        int(sizes[0] * sizes[1]) if len(sizes) == 2 and all(size >= 0 for size in sizes) else 0,
    )


def read_darknet(path: Path) -> YoloConfig:
    """Read a ``.data`` file: lines with ``train``, ``valid`` and ``names``, which are lists in files.

    Raises:
        BadExample: it cannot be read.
    """
    lines = (line.partition("=") for line in read_text(path).splitlines() if not line.lstrip().startswith("#"))
    values = {key.strip(): value.strip() for key, sign, value in lines if sign}
    config = YoloConfig(path, {}, {split_of(key): [values[key]] for key in _SPLIT_KEYS if values.get(key)})
    names = values.get("names", "")
    file = config.locate(names) or config.locate(Path(names).name)
    return YoloConfig(path, _read_names(file) if names and file else {}, config.sources)


def _read_names(path: Path) -> dict[int, str]:
    """Number -> name, from a file with one class a line.

    Raises:
        BadExample: it cannot be read.
    """
    return dict(enumerate(line.strip() for line in read_text(path).rstrip().splitlines()))


def _names(path: Path, names: Any) -> dict[int, str]:
    if names is None or names in _NOTHING:
        return {}
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return dict(enumerate(names))
    if isinstance(names, dict) and all(key.isdecimal() and isinstance(name, str) for key, name in names.items()):
        return {int(key): name for key, name in names.items()}
    raise InputError(f"{path} has names that cannot be read: expected a list, or a number and a name for each class.")


def _as_list(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
