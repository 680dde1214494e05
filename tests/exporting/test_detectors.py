"""Exports of a detector: parity with the run, the script beside each, and what other runtimes read in the files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.data.images import Decoder
from headstart.data.resizing import visible_box
from headstart.exporting.box_forms import from_location, from_yolo
from headstart.exporting.companions import write_companions
from headstart.exporting.formats import FORMATS
from tests.conftest import WITHOUT_HEADSTART

pytestmark = pytest.mark.slow

BESIDE = {
    *("labels.txt", "export.json", "predict.py"),
    *("bit_depth.py", "colours.py", "resizing.py", "boxes.py", "nms.py", "decoding.py"),
}
FORMS = {"onnx:nms": {"box_forms.py"}, "litert": {"box_forms.py"}, "openvino": {"box_forms.py", "model.bin"}}

_RUN_SCRIPT = (
    WITHOUT_HEADSTART
    + """
import runpy
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""
)


@pytest.fixture(scope="module")
def exports(detector: hs.Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, hs.Export]:
    """The detector in one format of each converter."""
    made = hs.export(detector, "onnx,onnx:nms,litert,openvino,keras", out=tmp_path_factory.mktemp("exports"))
    return {export.format: export for export in made}


@pytest.fixture(scope="module")
def images(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two test images, one of them stored on its side, and one without objects."""
    folder = tmp_path_factory.mktemp("images")
    upright = Image.open(shapes / "test/images/00.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.png", exif=exif)
    Image.new("RGB", (50, 40), "grey").save(folder / "empty.png")
    return [shapes / "test/images/01.jpg", folder / "turned.png", folder / "empty.png"]


def _script_lines(export: hs.Export, images: list[Path]) -> list[list[str]]:
    """What an export's own script says, in a process in which headstart cannot be imported."""
    command = [sys.executable, "-c", _RUN_SCRIPT, str(export.folder / "predict.py"), *map(str, images)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return [line.split("\t") for line in answer.stdout.splitlines()]


def test_every_format_repeats_the_detector(detector: hs.Run, exports: dict[str, hs.Export]) -> None:
    for name, export in exports.items():
        replay = export.replay
        assert replay.difference <= FORMATS[name].tolerance
        assert (replay.examples, replay.changed, replay.metric) == (12, 0, "mAP50-95")
        assert replay.before == pytest.approx(detector.metrics["map_50_95"], abs=1e-3)
        assert replay.after == pytest.approx(replay.before, abs=1e-3)
        beside = BESIDE | FORMS.get(name, set())
        assert {path.name for path in export.folder.iterdir()} == {*beside, export.model.name}
        card = json.loads((export.folder / "export.json").read_text(encoding="utf-8"))
        assert set(card["thresholds"]) == set(card["classes"]) == {"disc", "square"}
        assert 0 < card["max_iou"] < 1


@pytest.mark.parametrize("name", ["onnx", "onnx:nms", "litert", "openvino", "keras"])
def test_the_script_finds_the_boxes_of_the_run(
    detector: hs.Run, exports: dict[str, hs.Export], images: list[Path], name: str
) -> None:
    lines = _script_lines(exports[name], images)
    expected = [[str(path), box] for path in images for box in detector.predict(path).boxes or [None]]
    assert len(lines) == len(expected) > len(images)
    for (path, label, *numbers), (expected_path, box) in zip(lines, expected, strict=True):
        assert path == expected_path
        if box is None:
            assert (label, numbers) == ("none", [])
            continue
        assert label == box.label
        assert float(numbers[0]) == pytest.approx(box.score, abs=1e-3)
        assert [float(edge) for edge in numbers[1:]] == pytest.approx([box.x1, box.y1, box.x2, box.y2], abs=0.1)


def test_the_script_knows_which_part_of_an_image_the_model_is_shown(
    detector: hs.Run, images: list[Path], tmp_path: Path
) -> None:
    facts = detector.facts.replace(base=detector.facts.base.replace(resize="pad", input_size=(64, 96)))
    shutil.copytree(detector.folder / "engine", tmp_path, dirs_exist_ok=True)
    write_companions(tmp_path, detector.folder, facts, FORMATS["openvino"], {})
    program = f"""{WITHOUT_HEADSTART}
sys.path.insert(0, {str(tmp_path)!r})
import json
from predict import frame, read
print(json.dumps([[*frame(path), read(path).tolist()] for path in sys.argv[1:]]))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program, *map(str, images)], check=True, capture_output=True, text=True
    )
    decoder = Decoder((64, 96), "pad")
    for path, (size, visible, pixels) in zip(images, json.loads(answer.stdout), strict=True):
        upright = (96, 128) if path.name != "empty.png" else (40, 50)
        assert tuple(size) == upright
        assert visible == pytest.approx(visible_box(upright, (64, 96), "pad", decoder.rule))
        np.testing.assert_array_equal(np.array(pixels[0], np.uint8), decoder.read(path))


def test_an_export_is_the_same_file_again(detector: hs.Run, exports: dict[str, hs.Export], tmp_path: Path) -> None:
    for export in hs.export(detector, "openvino,onnx", out=tmp_path):
        assert export.model.read_bytes() == exports[export.format].model.read_bytes()


def test_the_forms_of_boxes_are_undone() -> None:
    values = np.random.default_rng(0).random((2, 5, 4 + 3), np.float32)
    x1, y1, x2, y2 = np.moveaxis(values[..., :4], -1, 0)
    location = np.stack([(y1 + y2) / 2, (x1 + x2) / 2, y2 - y1, x2 - x1], -1)
    np.testing.assert_allclose(from_location(location, values[..., 4:]), values, atol=1e-6)
    size = (30, 70)
    pixels = np.stack([(x1 + x2) * 35, (y1 + y2) * 15, (x2 - x1) * 70, (y2 - y1) * 30], -1)
    yolo = np.concatenate([pixels, values[..., 4:]], -1).swapaxes(1, 2)
    np.testing.assert_allclose(from_yolo(yolo, size), values, atol=1e-6)


def test_onnx_suppresses_boxes_as_the_run_does(detector: hs.Run, exports: dict[str, hs.Export], shapes: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(exports["onnx:nms"].model)
    paths = sorted((shapes / "test/images").iterdir())[:3]
    batch = np.stack([np.asarray(Image.open(path)) for path in paths])
    names = [output.name for output in session.get_outputs()]
    assert names == ["detections", "boxes", "scores", "classes", "number"]
    _, boxes, scores, classes, number = session.run(None, {"pixels": batch})
    for path, edges, image_scores, image_classes, count in zip(paths, boxes, scores, classes, number, strict=True):
        assert (np.diff(image_scores) <= 0).all()
        assert (image_scores[:count] > 0).all()
        assert (image_scores[count:] == 0).all()
        expected = detector.predict(path).boxes
        assert 0 < len(expected) <= count <= len(edges)
        for box, best, score, number_of_class in zip(expected, edges, image_scores, image_classes, strict=False):
            assert detector.classes[number_of_class] == box.label
            assert score == pytest.approx(box.score, abs=1e-3)
            inside = np.clip(best, 0, 1) * [128, 96, 128, 96]
            assert inside == pytest.approx([box.x1, box.y1, box.x2, box.y2], abs=0.1)


def test_openvino_model_api_and_mediapipe_find_their_metadata(exports: dict[str, hs.Export]) -> None:
    import openvino
    from ai_edge_litert.interpreter import Interpreter

    graph = openvino.Core().read_model(exports["openvino"].model)
    info = {name: graph.get_rt_info(["model_info", name]).astype(str) for name in ("model_type", "labels")}
    assert info == {"model_type": "YOLOv8", "labels": "disc square"}
    assert graph.output("detections").partial_shape[1].get_length() == 4 + 2
    (signature,) = Interpreter(str(exports["litert"].model)).get_signature_list().values()
    assert signature == {"inputs": ["pixels"], "outputs": ["location", "score"]}
