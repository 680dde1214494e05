import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.data.images import Decoder
from headstart.data.modalities import IMAGE
from headstart.features.engines import prepare
from headstart.features.examination import examine
from headstart.system import locks
from headstart.system.settings import cache_folder
from tests.conftest import SIZE, prepared_cache
from tests.damage import DAMAGES

LARGE = 128
"""Input size at which 700 images take long enough to interrupt the work, in pixels."""

_EXTRACT = """
import json, sys
from pathlib import Path
import headstart as hs
features = hs.extract(hs.load_base(input_size={size}), sorted(Path({folder!r}).rglob("*.jpg")), cache=Path({cache!r}))
print(json.dumps({{"computed": features.computed, "sum": float(features.rows(range(len(features))).sum())}}))
"""


def _start(folder: Path, cache: Path, size: int) -> subprocess.Popen[str]:
    code = _EXTRACT.format(folder=str(folder), cache=str(cache), size=size)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.fixture(scope="module")
def base() -> hs.Base:
    return hs.load_base(input_size=SIZE)


@pytest.fixture
def files(photos: Path) -> list[Path]:
    return sorted(photos.rglob("*.jpg"))


def test_one_row_per_file_in_the_order_asked_for(base: hs.Base, files: list[Path]) -> None:
    forwards, backwards = hs.extract(base, files), hs.extract(base, files[::-1])
    assert len(forwards) == len(files)
    assert forwards.dim == base.feature_dim == 1280
    rows = forwards.rows(np.arange(len(files)))
    assert rows.dtype == np.float32
    assert np.array_equal(rows, backwards.rows(np.arange(len(files))[::-1]))
    assert np.array_equal(forwards.rows([5, 3, 5]), rows[[5, 3, 5]])


@pytest.mark.slow
def test_the_rows_are_what_keras_computes(base: hs.Base, files: list[Path]) -> None:
    decoder = Decoder(base.input_size, base.resize)
    expected = base.model().predict(np.stack([decoder.read(path) for path in files[:20]]), verbose=0)
    found = hs.extract(base, files[:20], precision="float32").rows(range(20))
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-5
    by_keras = hs.extract(base, files[:20], engine="keras").rows(range(20))
    assert np.linalg.norm(by_keras - expected) / np.linalg.norm(expected) < 1e-6


def test_the_embedded_base_is_converted_without_tensorflow(base: hs.Base) -> None:
    facts = prepare(base, cache_folder(), np.zeros((4, *base.input_size, 3), np.uint8)).facts
    assert facts["by"] == "openvino"
    assert facts["problems"] == []
    assert facts["optimised"]
    assert facts["difference"] < 1e-5


def test_what_is_known_is_not_computed_again(base: hs.Base, files: list[Path], tmp_path: Path) -> None:
    cache = prepared_cache(tmp_path / "cache")
    assert hs.extract(base, files[:10], cache=cache).computed == 10
    assert hs.extract(base, files[:12], cache=cache).computed == 2
    copy = tmp_path / "renamed.jpg"
    shutil.copy(files[0], copy)
    again = hs.extract(base, [copy, files[1]], cache=cache)
    assert again.computed == 0
    assert np.array_equal(again.rows([0]), hs.extract(base, files[:1], cache=cache).rows([0]))


def test_a_file_that_changed_is_read_again(base: hs.Base, files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    shutil.copy(files[0], path)
    before = hs.extract(base, [path]).rows([0])
    shutil.copy(files[-1], path)
    assert not np.array_equal(before, hs.extract(base, [path]).rows([0]))


@pytest.mark.slow
def test_another_size_or_fit_is_another_row(files: list[Path]) -> None:
    plain = hs.extract(hs.load_base(input_size=SIZE), files[:2]).rows([0])
    for options in ({"input_size": SIZE + 32}, {"input_size": SIZE, "resize": "crop"}):
        assert not np.allclose(plain, hs.extract(hs.load_base(**options), files[:2]).rows([0]), atol=1e-3)


def test_unusable_files_are_named_and_the_others_computed(base: hs.Base, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "cut.jpg").write_bytes(files[0].read_bytes()[:600])
    features = hs.extract(base, [tmp_path / "empty.jpg", files[0], tmp_path / "cut.jpg", tmp_path / "gone.jpg"])
    assert sorted(features.problems) == [0, 2, 3]
    assert "empty" in features.problems[0]
    assert "No such file" in features.problems[3]
    assert features.digests[0] is features.digests[2] is None
    assert features.rows([1]).any()
    again = hs.extract(base, [tmp_path / "empty.jpg", files[0], tmp_path / "cut.jpg", tmp_path / "gone.jpg"])
    assert again.problems == features.problems


def test_identical_files_are_computed_once(base: hs.Base, files: list[Path], tmp_path: Path) -> None:
    copies = [shutil.copy(files[0], tmp_path / f"{i}.jpg") for i in range(40)]
    features = hs.extract(base, [Path(copy) for copy in copies], cache=prepared_cache(tmp_path / "cache"))
    assert features.computed == 1
    assert np.ptp(features.rows(range(40)), axis=0).max() == 0


def test_what_pictures_look_like_falls_out_with_and_without_a_base(
    base: hs.Base, files: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(files[0].read_bytes()[:900])
    features = hs.extract(base, [*files, bad], cache=prepared_cache(tmp_path / "features"))
    alone = examine(IMAGE.as_examples([*files, bad]), IMAGE, cache=tmp_path / "alone", reader=base.reader())
    assert features.image_infos == alone.image_infos
    assert (features.digests, features.problems) == (alone.digests, alone.problems)
    assert sorted(alone.image_infos) == list(range(len(files)))
    assert alone.image_infos[0].header[:4] == ("JPEG", "RGB", 96, 96)
    bad.unlink()
    again = examine(IMAGE.as_examples(files), IMAGE, cache=tmp_path / "alone", reader=base.reader())
    assert again.image_infos == alone.image_infos
    shutil.rmtree(tmp_path / "features" / "image-info")  # made room in the cache
    renewed = hs.extract(base, files, cache=tmp_path / "features")
    assert (renewed.computed, renewed.image_infos) == (0, alone.image_infos)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "pattern",
    ["features/*/shard-*.npy", "features/*/index.sqlite", "known-files/files.sqlite", "image-info/*/images.sqlite"],
)
def test_a_damaged_cache_is_computed_again(
    small_base: str,
    files: list[Path],
    tmp_path: Path,
    pattern: str,
    damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    base, cache = hs.load_base(small_base), tmp_path / "cache"
    cache.mkdir()
    (cache / "engines").symlink_to(cache_folder() / "engines")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(files[0].read_bytes()[:900])
    before = hs.extract(base, [*files, bad], cache=cache)
    rows = before.rows(range(len(files)))
    (damaged,) = cache.glob(pattern)
    DAMAGES[damage](damaged)
    with caplog.at_level("WARNING"):
        after = hs.extract(base, [*files, bad], cache=cache)
    assert np.array_equal(after.rows(range(len(files))), rows)
    assert (after.digests, after.problems, after.image_infos) == (before.digests, before.problems, before.image_infos)
    if after.computed and damage not in ("empty", "missing"):  # which look like a new file
        assert "the cache is damaged: " in caplog.text
    again = hs.extract(base, [*files, bad], cache=cache)
    assert again.computed == 0


def test_one_changed_bit_in_the_features_is_found(base: hs.Base, files: list[Path], tmp_path: Path) -> None:
    cache = prepared_cache(tmp_path / "cache")
    hs.extract(base, files, cache=cache)
    (shard,) = (cache / "features").rglob("shard-*.npy")
    values = np.load(shard, mmap_mode="r+").view(np.uint32)
    values[1, 700] ^= 1
    values.flush()
    assert hs.extract(base, files, cache=cache).computed == 1


def test_a_file_with_other_content_of_the_same_size_and_time_is_read_again(
    base: hs.Base, files: list[Path], tmp_path: Path
) -> None:
    cache, file = prepared_cache(tmp_path / "cache"), tmp_path / "image.bmp"
    Image.open(files[0]).resize((40, 40)).save(file)
    stat = file.stat()
    first = hs.extract(base, [file], cache=cache)
    other = tmp_path / "other.bmp"
    Image.open(files[-1]).resize((40, 40)).save(other)
    file.write_bytes(other.read_bytes())  # in place, as cp -p does
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = hs.extract(base, [file], cache=cache)
    Image.open(files[0]).resize((40, 40)).save(other)
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(file)  # another file under the same name, as rsync does
    third = hs.extract(base, [file], cache=cache)
    assert file.stat().st_size == stat.st_size
    assert second.digests != first.digests == third.digests


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """700 different images: a second of work or more at ``LARGE``."""
    from sklearn.datasets import load_sample_images

    folder = tmp_path_factory.mktemp("many")
    photo = load_sample_images().images[0]
    for number in range(700):
        y, x = divmod(number * 7, 500)
        Image.fromarray(photo[y : y + 64, x : x + 64]).save(folder / f"{number:03}.jpg")
    return folder


def _rows_done(cache: Path) -> int:
    for index in (cache / "features").glob("*/index.sqlite"):
        try:
            with sqlite3.connect(index) as connection:
                return int(connection.execute("SELECT count(*) FROM rows").fetchone()[0])
        except sqlite3.OperationalError:
            return 0
    return 0


def _claims(cache: Path) -> int:
    (index,) = (cache / "features").glob("*/index.sqlite")
    with sqlite3.connect(index) as connection:
        return int(connection.execute("SELECT count(*) FROM claims").fetchone()[0])


def _stop_between_writes(process: subprocess.Popen[str], cache: Path) -> None:
    """Stop a process that has no file of the cache locked: SQLite lets nobody write to one that it has."""
    with ExitStack() as stack:
        for path in cache.rglob("*.sqlite"):
            connection = stack.enter_context(closing(sqlite3.connect(path, timeout=60, isolation_level=None)))
            connection.execute("BEGIN IMMEDIATE")
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_in_the_middle_it_goes_on_where_it_was(many: Path, tmp_path: Path) -> None:
    files = sorted(many.glob("*.jpg"))
    for attempt in range(8):  # on a fast machine it may have finished before it is killed
        cache = prepared_cache(tmp_path / f"cache{attempt}", LARGE)
        victim = _start(many, cache, LARGE)
        while _rows_done(cache) < 1 and victim.poll() is None:
            time.sleep(0.01)
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
        done = _rows_done(cache)
        if done < len(files):
            break
    assert 1 <= done < len(files)
    resumed = hs.extract(hs.load_base(input_size=LARGE), files, cache=cache)
    assert resumed.computed == len(files) - done
    chosen = [0, 350, 699]
    alone = hs.extract(hs.load_base(input_size=LARGE), [files[i] for i in chosen])
    assert np.array_equal(resumed.rows(chosen), alone.rows(range(3)))


@pytest.mark.slow
def test_two_at_once_share_the_work(many: Path, tmp_path: Path) -> None:
    files = sorted(many.glob("*.jpg"))
    cache = prepared_cache(tmp_path / "cache", LARGE)
    both = [_start(many, cache, LARGE) for _ in range(2)]
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in both]
    assert sum(answer["computed"] for answer in answers) == len(files)
    assert all(answer["computed"] > 0 for answer in answers)
    assert answers[0]["sum"] == answers[1]["sum"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGSTOP")
def test_the_share_of_a_stopped_process_is_computed_after_a_while(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "STOPPED_S", 4)
    for attempt in range(8):  # on a fast machine it may have finished its share before it is stopped
        cache = prepared_cache(tmp_path / f"cache{attempt}", LARGE)
        process = _start(many, cache, LARGE)
        while _rows_done(cache) < 1 and process.poll() is None:
            time.sleep(0.01)
        _stop_between_writes(process, cache)
        if process.poll() is None and _claims(cache):
            break
        process.kill()
        process.communicate()
    try:
        base = hs.load_base(input_size=LARGE)
        with caplog.at_level("INFO"):
            features = hs.extract(base, sorted(many.rglob("*.jpg")), cache=cache)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    output, _ = process.communicate()
    assert f"process {process.pid} has stopped while computing features" in caplog.text
    assert float(features.rows(range(len(features))).sum()) == json.loads(output)["sum"]  # it goes on, and ends well


def test_where_a_drawn_photo_is_damaged_another_one_is_drawn(photos: Path, tmp_path: Path) -> None:
    for name in ("china", "flower"):
        folder = tmp_path / "few" / name
        folder.mkdir(parents=True)
        for number in range(8):
            shutil.copy(photos / name / f"{number:02}.jpg", folder)
    for number in range(4):
        (tmp_path / f"few/china/{number:02}.jpg").write_bytes(b"\xff\xd8 damaged")
    run = hs.train(tmp_path / "few", input_size=SIZE, shots=4, val=0, test=0, runs=tmp_path / "runs")
    assert run.facts.data.splits["train"].per_class == {"china": 4, "flower": 4}
    cost = run.facts.cost
    assert cost.examples_computed + cost.examples_from_cache == 8
