"""Files and folders that appear complete or not at all."""

from pathlib import Path

import numpy as np
import pytest

from headstart.system.atomic import atomic_file, atomic_folder


@pytest.mark.parametrize("options", [{}, {"shared": True}, {"durable": True}])
def test_a_file_appears_at_the_end(tmp_path: Path, options: dict[str, bool]) -> None:
    path = tmp_path / "values.npz"
    path.write_text("old")
    with atomic_file(path, **options) as partial:
        np.savez(partial, values=np.arange(3))
        assert path.read_text() == "old"
    with np.load(path) as saved:
        assert saved["values"].tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_stays_as_it_was_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text("old")

    def fail() -> None:
        with atomic_file(path) as partial:
            partial.write_text("half")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "facts.partial.json").write_text("a longer text that was never finished")
    with atomic_file(tmp_path / "facts.json") as partial:
        partial.write_text("new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["new"]


def test_a_folder_replaces_another(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "engine"
    for text in ("first", "second"):
        with atomic_folder(folder) as filled:
            assert list(filled.iterdir()) == []
            (filled / "model.xml").write_text(text)
        assert [path.name for path in folder.parent.iterdir()] == ["engine"]
        assert (folder / "model.xml").read_text() == text
    assert folder.stat().st_mode & 0o777 == (tmp_path / "cache").stat().st_mode & 0o777


def test_the_first_of_several_processes_wins(tmp_path: Path) -> None:
    folder = tmp_path / "words"
    with atomic_folder(folder, shared=True) as slow:
        with atomic_folder(folder, shared=True) as fast:
            (fast / "words.txt").write_text("fast")
        (slow / "words.txt").write_text("slow")
    assert (folder / "words.txt").read_text() == "fast"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_stays_as_it_was_where_filling_fails(tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "model.xml").write_text("old")

    def fail() -> None:
        with atomic_folder(folder) as filled:
            (filled / "model.xml").write_text("half")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        fail()
    assert (folder / "model.xml").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]
