import json
import runpy
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.data.examples import TextExample
from headstart.data.images import Decoder
from headstart.data.readers import decode_examples
from headstart.data.resizing import ResizeRule
from headstart.errors import InputError, IntegrityError, UnavailableError
from headstart.exporting.companions import write_companions
from headstart.exporting.convert import convert
from headstart.exporting.export import verify
from headstart.exporting.formats import FORMATS, check_base, check_installed, parse
from headstart.exporting.runtimes import open_model
from headstart.exporting.sample import draw_sample
from headstart.runs.predictor import Predictor
from headstart.runs.schema import ResizeRuleFacts
from headstart.system.checksums import file_sha256
from headstart.tasks import get_task
from tests.conftest import SIZE, WITHOUT_HEADSTART, WORDS, Command

pytestmark = pytest.mark.slow

CLASSIFIER_FORMATS = [name for name in FORMATS if name != "onnx:nms"]
BESIDE = {"labels.txt", "export.json", "predict.py"}
SENTENCES = ["The np.array can't hold 12 of the user’s objects.", "A class statement binds its name."]

_RUN_SCRIPT = (
    WITHOUT_HEADSTART
    + """
import runpy
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""
)


def _script_predictions(export: hs.Export, *arguments: str | Path) -> list[tuple[str, float]]:
    """What an export's own script says, in a process in which headstart cannot be imported."""
    command = [sys.executable, "-c", _RUN_SCRIPT, export.folder / "predict.py", *arguments]
    answer = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
    lines = [line.split("\t") for line in answer.stdout.splitlines()]
    return [(label, float(probability)) for _, label, probability in lines]


def _harmed(run: hs.Run, folder: Path) -> Path:
    """A copy of a run whose ``model.keras`` is another model than its engine."""
    copy = Path(shutil.copytree(run.folder, folder))
    with zipfile.ZipFile(run.model_path) as source, zipfile.ZipFile(copy / "model.keras", "w") as harmed:
        for name in source.namelist():
            content = source.read(name)
            harmed.writestr(name, content.replace(b'"softmax"', b'"sigmoid"') if name == "config.json" else content)
    facts = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    facts["files"]["model.keras"] = file_sha256(copy / "model.keras")  # as if it had been written so
    (copy / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def exports(run: hs.Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, hs.Export]:
    """The run in every format."""
    return {one.format: one for one in hs.export(run, CLASSIFIER_FORMATS, out=tmp_path_factory.mktemp("exports"))}


@pytest.fixture(scope="module")
def text_exports(text_run: hs.Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, hs.Export]:
    """The run on texts in two formats."""
    made = hs.export(text_run.folder, "litert, onnx", out=tmp_path_factory.mktemp("text-exports"))
    return {one.format: one for one in made}


def test_every_format_repeats_the_run(run: hs.Run, exports: dict[str, hs.Export]) -> None:
    assert list(exports) == CLASSIFIER_FORMATS
    for name, one in exports.items():
        assert one.replay.difference <= FORMATS[name].tolerance
        assert one.replay.examples == run.figures.splits["test"].examples
        assert one.replay.before == pytest.approx(run.metrics["accuracy"])
        assert one.replay.interval is not None
        assert one.replay.interval[0] <= one.replay.after <= one.replay.interval[1]
        assert {path.name for path in one.folder.iterdir()} - {one.model.name, "model.bin"} == {
            *BESIDE,
            "bit_depth.py",
            "colours.py",
            "resizing.py",
        }
    size = exports["litert"].size_mb
    assert exports["litert:float16"].size_mb == pytest.approx(size / 2, rel=0.1)
    assert exports["litert:int8"].size_mb == pytest.approx(size / 4, rel=0.3)
    assert exports["saved-model"].size_mb < 1.3 * size


@pytest.mark.parametrize("name", ["onnx", "litert", "litert:int8", "openvino", "saved-model", "keras"])
def test_the_script_beside_an_export_needs_no_headstart(
    run: hs.Run, exports: dict[str, hs.Export], photos: Path, name: str
) -> None:
    for file, (label, probability) in zip(
        files := [photos / "china/03.jpg", photos / "flower/07.jpg"],
        _script_predictions(exports[name], *files),
        strict=True,
    ):
        expected = run.predict(file)
        assert label == expected.predicted
        assert probability == pytest.approx(expected.probability, abs=0.1 if name == "litert:int8" else 2e-4)


def test_labels_travel_in_the_files(run: hs.Run, exports: dict[str, hs.Export]) -> None:
    import onnxruntime
    import openvino
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    lines = "china\nflower\n"
    for one in exports.values():
        assert (one.folder / "labels.txt").read_text() == lines
        assert json.loads((one.folder / "export.json").read_text())["classes"] == run.classes
    onnx = onnxruntime.InferenceSession(exports["onnx"].model)
    assert onnx.get_modelmeta().custom_metadata_map["labels"] == lines
    assert (onnx.get_inputs()[0].name, onnx.get_outputs()[0].name) == ("pixels", "probabilities")
    graph = openvino.Core().read_model(exports["openvino"].model)
    assert graph.get_rt_info(["model_info", "labels"]).astype(str) == "china flower"
    assert len(graph.outputs) == 1
    assert (exports["saved-model"].model / "assets.extra/labels.txt").read_text() == lines
    for name in ("litert", "litert:int8"):
        with zipfile.ZipFile(exports[name].model) as archive:
            assert archive.read("labels.txt").decode() == lines
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(exports[name].model.read_bytes()))
        buffers = {one.name: bytes(model.buffers[one.buffer].data) for one in model.metadata}
        assert buffers[b"TFLITE_METADATA"][4:8] == b"M001"
        assert json.loads(buffers[b"headstart"])["classes"] == run.classes
        assert Interpreter(str(exports[name].model)).get_signature_list() == {
            "serving_default": {"inputs": ["pixels"], "outputs": ["probabilities"]}
        }
    (takes,) = Interpreter(str(exports["litert:int8"].model)).get_input_details()
    assert (takes["dtype"], takes["quantization"]) == (np.uint8, (1.0, 0))  # pixels as they are


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
@pytest.mark.parametrize(
    "rule",
    [
        ResizeRule(),
        ResizeRule(kept_fraction=1.0, edges="none", interpolation="lanczos", fast=False),
        ResizeRule(kept_fraction=0.875, edges="resized", interpolation="bilinear", fast=False),
        ResizeRule(kept_fraction=1.0, interpolation="bicubic", antialias=False, bars=0, fast=False),
        ResizeRule(interpolation="bilinear", antialias=False, bars=0, fast=False),
    ],
)
def test_the_script_reads_images_as_headstart_does(
    run: hs.Run,
    photos: Path,
    tmp_path: Path,
    resize: str,
    size: tuple[int, int],
    rule: ResizeRule,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = Image.open(photos / "china/00.jpg")
    names = ("large.jpg", "turned.jpg", "turned.tif", "clear.png", "turned_clear.png")
    large, turned, turned_tiff, clear, turned_clear = (tmp_path / name for name in names)
    image.resize((853, 427)).save(large)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.resize((300, 200)).save(turned, exif=exif)
    image.resize((300, 200)).save(turned_tiff, exif=exif)
    rgba = image.convert("RGBA")
    rgba.putalpha(100)
    rgba.save(clear)
    rgba.resize((300, 201)).save(turned_clear, exif=exif)
    details = ResizeRuleFacts(**rule.to_json())
    facts = run.facts.replace(base=run.facts.base.replace(resize=resize, resize_rule=details, input_size=size))
    shutil.copytree(run.folder / "engine", tmp_path, dirs_exist_ok=True)
    write_companions(tmp_path, run.folder, facts, FORMATS["openvino"], {})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["predict.py"])
    read = runpy.run_path(str(tmp_path / "predict.py"))["read"]
    for path in (photos / "flower/01.jpg", large, turned, turned_tiff, clear, turned_clear):
        expected = Decoder(size, resize, rule).read(path)  # type: ignore[arg-type]
        np.testing.assert_array_equal(read(path)[0], expected, err_msg=path.name)


@pytest.mark.parametrize("name", ["onnx", "litert"])
def test_texts_travel_with_their_tokenizer(text_run: hs.Run, text_exports: dict[str, hs.Export], name: str) -> None:
    one = text_exports[name]
    assert one.replay.difference <= 1e-4
    assert {path.name for path in one.folder.iterdir()} == {*BESIDE, "tokenizer", "words.py", one.model.name}
    for text, (label, probability) in zip(SENTENCES, _script_predictions(one, *SENTENCES), strict=True):
        expected = text_run.predict(text)
        assert (label, probability) == (expected.predicted, pytest.approx(expected.probability, abs=2e-4))


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes_again(
    text_run: hs.Run, text_exports: dict[str, hs.Export], tmp_path: Path
) -> None:
    (again,) = hs.export(text_run, "onnx", out=tmp_path)
    assert again.model.read_bytes() == text_exports["onnx"].model.read_bytes()


def test_words_are_found_as_in_training(text_run: hs.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(text_run.folder / "engine", tmp_path, dirs_exist_ok=True)
    write_companions(tmp_path, text_run.folder, text_run.facts, FORMATS["openvino"], {})
    monkeypatch.setattr(sys, "argv", ["predict.py"])
    monkeypatch.syspath_prepend(tmp_path)
    read = runpy.run_path(str(tmp_path / "predict.py"))["read"]
    for text in SENTENCES:
        np.testing.assert_array_equal(
            read(text), decode_examples(Predictor(text_run.folder).reader, [TextExample(text)])
        )
    assert read("qqqqqqq").tolist() == [[0]]


def test_an_export_that_computes_something_else_leaves_nothing_behind(run: hs.Run, tmp_path: Path) -> None:
    copy = _harmed(run, tmp_path / "harmed")
    before = set(copy.rglob("*"))
    with pytest.raises(
        IntegrityError, match=r"keras: a probability differs by .* from that of the run.*Nothing was written\. Please"
    ):
        hs.export(copy, "openvino,keras")
    assert set(copy.rglob("*")) == before


def test_a_significant_loss_is_an_error(run: hs.Run, caplog: pytest.LogCaptureFixture) -> None:
    predictor = Predictor(run.folder)
    sample = draw_sample(predictor, "test")
    probabilities = np.concatenate([predictor.values(batch) for batch in sample.batches])
    same = verify(FORMATS["litert:int8"], probabilities, 1.0, probabilities, sample, predictor)
    assert (same.changed, same.before) == (0, same.after)
    one_change = probabilities.copy()
    one_change[-1] = one_change[-1, ::-1]
    assert caplog.text == ""
    assert verify(FORMATS["litert:int8"], one_change, 1.0, probabilities, sample, predictor).changed == 1
    message = " ".join(caplog.text.split())
    assert "accuracy falls from 100.0% to" in message
    assert (
        "This is not significant, but with so few examples a larger loss is possible. litert:float16 loses less"
        in message
    )
    with pytest.raises(IntegrityError, match=r"litert:int8: on \d+ held-out images accuracy falls from .*float16"):
        verify(FORMATS["litert:int8"], probabilities[:, ::-1], 1.0, probabilities, sample, predictor)


def test_without_the_data_golden_samples_are_left(
    run: hs.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = Path(shutil.copytree(run.folder, tmp_path / "alone"))
    facts = json.loads((copy / "run.json").read_text())
    facts["data"]["root"] = str(tmp_path / "gone")
    (copy / "run.json").write_text(json.dumps(facts))
    with pytest.raises(
        InputError, match=r"needs the training images .*gone\. Restore them, or export to litert:float16"
    ):
        hs.export(copy, "litert:int8")
    assert not (copy / "exports").exists()
    (one,) = hs.export(copy, "openvino")
    assert "only the golden samples are replayed" in caplog.text
    assert (one.replay.examples, one.replay.before) == (0, None)
    (again,) = hs.export(copy, "openvino")
    assert (one.folder, again.folder) == (copy / "exports/openvino", copy / "exports/openvino-2")


def test_wrong_requests_are_explained(run: hs.Run, text_run: hs.Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"to: 'tflite' is not a format\. .* Did you mean 'litert'\?"):
        hs.export(run, "onnx,tflite")
    with pytest.raises(InputError, match="to: expected one or more of onnx"):
        hs.export(run, [])
    with pytest.raises(InputError, match=r"is not a run: there is no such folder"):
        hs.export(tmp_path / "none", "onnx")
    with pytest.raises(InputError, match=r"cannot be exported to litert:int8, because token ids .*It can be .*onnx"):
        hs.export(text_run, "onnx,litert:int8")
    with pytest.raises(InputError, match=r"cannot be exported to onnx:nms, because only detectors give boxes"):
        hs.export(run, "onnx:nms")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"out: no folder can be made at .*file \(File exists\)"):
        hs.export(run, "openvino", out=tmp_path / "file")


def test_what_stands_against_an_export_is_said_before_training(
    sentences: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"a run on embedded:glove-6b-50d cannot be exported to litert:int8, because"):
        hs.train(sentences, base=WORDS, check_base=partial(check_base, parse("onnx,litert:int8")))
    with pytest.raises(InputError, match=r"cannot be exported to onnx:nms, because only detectors give boxes"):
        hs.train(sentences, base=WORDS, check_base=partial(check_base, parse("onnx:nms")))
    single_label = get_task("single-label")
    base = replace(hs.load_base("embedded:efficientnet-lite0"), backends=("openvino",))
    with pytest.raises(InputError, match=r"onnx, because .* OpenVINO graph .*\. It can be exported to openvino\."):
        check_base(parse("openvino,onnx"), base, single_label)
    base = replace(base, backends=("tensorflow",))
    check_base(parse("openvino,onnx"), base, single_label)
    check_base(parse("onnx:nms"), base, get_task("detection"))
    with pytest.raises(InputError, match=r"keras, because its base is a TensorFlow graph"):
        check_base(parse("keras"), base, single_label)
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(UnavailableError, match=r"onnx needs the Python package 'tf2onnx'.*headstart\[onnx\]"):
        check_installed(parse("onnx"))


def _with_convolutions_in_groups() -> Any:
    """As ConvNeXt has them: on a CPU, Keras computes them by XLA."""
    from keras import Input, Model, layers

    inputs = x = Input((16, 16, 3), dtype="uint8", name="pixels")
    x = layers.Rescaling(1 / 255)(x)
    x = layers.Conv2D(6, 5, 2, groups=3, activation="gelu")(x)
    x = layers.Conv2D(8, 3, groups=2, padding="same", activation="gelu")(x)
    return Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def _with_a_loop() -> Any:
    """As Stanza's character models have them."""
    from keras import Input, Model, layers

    inputs = Input((None,), dtype="int32", name="ids")
    x = layers.LSTM(4)(layers.Embedding(300, 4, embeddings_initializer="normal")(inputs))
    return Model(inputs, layers.Dense(2)(x))


@pytest.mark.parametrize("made", [_with_convolutions_in_groups, _with_a_loop])
def test_what_converters_find_hard_is_converted(made: Callable[[], Any], tmp_path: Path) -> None:
    model = made()
    model.set_weights([4 * weights for weights in model.get_weights()])  # or all answers were nearly the same
    model.save(tmp_path / "model.keras")
    card = {"name": "hard", "labels": "a\nb\n", "headstart": "{}"}
    convert(str(tmp_path / "model.keras"), [], ["onnx", "litert"], str(tmp_path), card, None)
    model_input = model.inputs[0]
    shape = (3, *(side or 7 for side in model_input.shape[1:]))
    examples = np.random.default_rng(0).integers(0, 256, shape).astype(model_input.dtype)
    expected = model.predict(examples, verbose=0)
    assert np.ptp(expected[:, 0]) > 1e-2
    for name in ("onnx", "litert"):
        outputs = open_model(name, tmp_path / name / FORMATS[name].file)(examples)
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


def test_training_can_export_at_once(photos: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "headstart", "train", str(photos), "--input-size", str(SIZE), "--fine-tune", "none"]
    words += ["--runs", str(tmp_path / "runs"), "--export"]
    wrong = subprocess.run([*words, "tflight"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "--export: 'tflight' is not a format" in wrong.stderr
    assert not (tmp_path / "runs").exists()
    made = subprocess.run([*words, "openvino"], check=True, capture_output=True, text=True)
    assert made.stdout.rstrip().endswith(str(tmp_path / "runs/photos/exports/openvino"))


def test_the_command_prints_a_table_or_json(headstart_here: Command, run: hs.Run, tmp_path: Path) -> None:
    def command(*more: str) -> str:
        done = headstart_here("export", run.folder, "--to", "openvino", "--out", tmp_path, *more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    table = command()
    assert "accuracy before" in table
    assert str(tmp_path / "openvino") in table
    printed = json.loads(command("--json"))
    assert printed["model"] == str(tmp_path / "openvino-2" / "model.xml")
    assert printed["replay"]["changed"] == 0
