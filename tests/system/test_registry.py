"""Registries: objects by name, also those that installed packages name in their metadata."""

import sys
from pathlib import Path

import pytest

from headstart.errors import InputError
from headstart.system.registry import Registry
from headstart.tasks import get_task, unregister_task


def test_a_name_is_registered_once() -> None:
    class Item:
        name = "a"

    registry: Registry = Registry("thing", [Item()], group="headstart.things")
    with pytest.raises(InputError, match="there is a thing named 'a' already"):
        registry.register(Item())
    with pytest.raises(InputError, match=r"unknown thing 'b': expected one of a\..* install or import it first"):
        registry.get("b")
    registry.unregister("a")
    assert registry.all() == []


def test_a_task_of_an_installed_package_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "graded.py").write_text(
        "from headstart.tasks.single_label import SingleLabel\n\n\nclass Graded(SingleLabel):\n    name = 'graded'\n"
    )
    metadata = tmp_path / "graded-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: graded\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[headstart.tasks]\ngraded = graded:Graded\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert get_task("graded").name == "graded"
    finally:
        unregister_task("graded")
        sys.modules.pop("graded", None)
