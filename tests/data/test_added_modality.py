"""A modality that is added from outside the package: signals, as numbers in files.

Its data are found, named and audited without a change in headstart.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.data.dataset import load_dataset
from headstart.data.examples import Example, FileExample
from headstart.data.modalities import Modality, get_modality, modalities, register_modality, unregister_modality
from headstart.data.readers import Reader
from headstart.errors import BadExample, InputError


class Signal(Modality):
    """Numbers in text files."""

    name = "signal"
    noun = "signal"
    plural = "signals"
    extensions = (".sig",)
    is_in_tables = False
    has_pixels = False
    base_fields = ()
    default_bases = ("embedded:signals",)
    mistakes_shown = 4
    command_input = shell_input = python_input = "signal.sig"
    labelled_data = "folder/"

    def find_examples(self, items: Sequence[Path | str]) -> list[Example]:
        return self.list_examples(items)

    def is_single(self, item: Path | str) -> bool:
        return True

    def list_examples(self, items: Iterable[Path | str], text_column: Sequence[str] | None = None) -> list[Example]:
        return [FileExample(str(item)) for item in items]

    def open_reader(self, base: Mapping[str, Any], folder: Path) -> Reader:
        raise NotImplementedError

    def check(self, data: bytes) -> None:
        try:
            np.array(data.split(), float)
        except ValueError as exc:
            raise BadExample("damaged: it holds other things than numbers") from exc

    def check_size(self, data: bytes, *, max_megapixels: float, max_text_bytes: int) -> None:
        raise NotImplementedError

    def near_pairs(self, looks: Sequence[Any]) -> np.ndarray:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def signal() -> Iterator[Modality]:
    register_modality(Signal())
    yield get_modality("signal")
    unregister_modality("signal")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("rising/1.sig", "rising/2.sig", "falling/1.sig", "falling/2.sig", "falling/notes.doc"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{len(name)} {name[-5]}" if name.endswith(".sig") else "x")
    return tmp_path


def test_examples_are_found_in_folders_and_tables(folder: Path, signal: Modality) -> None:
    dataset = load_dataset(folder)
    assert dataset.modality is signal
    assert dataset.files == ["falling/1.sig", "falling/2.sig", "rising/1.sig", "rising/2.sig"]
    assert dataset.examples[0] == FileExample(str(folder / "falling/1.sig"))
    assert dataset.skipped[0].reason == "its extension .doc is not that of a signal"
    (folder / "table.csv").write_text("path,label\nrising/1.sig,up\nfalling/1.sig,down\n")
    assert load_dataset(folder / "table.csv").modality is signal


def test_an_audit_reads_them_with_their_own_check(folder: Path) -> None:
    (folder / "rising/1.sig").write_text("1 2 wave")
    (folder / "rising/3.sig").write_text((folder / "rising/2.sig").read_text())
    audited = hs.audit(folder, features=False, progress=False)
    by_name = {finding.check: finding for finding in audited.findings}
    assert by_name["unreadable"].examples[0].files == ("rising/1.sig",)
    assert by_name["exact-duplicates"].state == "found"
    assert by_name["blank"].summary == "It applies to images."
    assert by_name["mojibake"].summary == "It applies to texts."


def test_modalities_have_one_name_each(signal: Modality) -> None:
    assert [modality.name for modality in modalities()] == ["image", "text", "signal"]
    with pytest.raises(InputError, match="there is a modality named 'signal' already"):
        register_modality(Signal())
    with pytest.raises(InputError, match="unknown modality 'sound': expected one of image, text, signal"):
        get_modality("sound")
