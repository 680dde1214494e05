"""Cached folders that carry their checksums."""

from pathlib import Path

import pytest

from headstart.system.checksums import CHECKSUMS, checked_folder, is_intact
from tests.damage import DAMAGES


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["weights.bin", "inner/facts.json", CHECKSUMS])
def test_any_damage_is_found_and_the_folder_removed(
    tmp_path: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cached"
    assert not is_intact(folder)
    with checked_folder(folder) as filled:
        (filled / "weights.bin").write_bytes(bytes(range(256)) * 40)
        (filled / "inner").mkdir()
        (filled / "inner" / "facts.json").write_text('{"dim": 1280}' + " " * 600)
    assert is_intact(folder)
    assert not caplog.records
    DAMAGES[damage](folder / name)
    assert not is_intact(folder)
    assert not folder.exists()
    (record,) = caplog.records
    assert str(folder) in record.getMessage()
