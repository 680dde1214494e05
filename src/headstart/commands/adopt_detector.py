"""Detectors of Darknet as runs: with their own classes, to predict with, to evaluate, to export and to serve.

The golden samples are images of soft patches of colour; their values are what Keras computes.
"""

from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import BaseSpec, load_base, yolo
from headstart.bases.darknet.class_names import BY_NUMBER
from headstart.commands.adoption_images import encode_png, golden_images
from headstart.commands.load import Run
from headstart.errors import InputError
from headstart.features.engines import KerasEngine
from headstart.model_files.detector_file import ENGINE_FILE, write_model
from headstart.runs.facts import base_facts, engine_facts, now
from headstart.runs.files import write_facts, write_figures
from headstart.runs.folder import check_name, versions, write_folder
from headstart.runs.predictor import Predictor
from headstart.runs.schema import AdoptionFacts, Figures, GoldenFacts, RunFacts
from headstart.runs.tables import write_no_predictions
from headstart.system import keras_worker
from headstart.tasks.detection import Detection

THRESHOLD = 0.25
"""Score from which an object is predicted, as Darknet has it."""


def is_darknet(export: str | Path) -> bool:
    """Whether something to adopt is a model of Darknet."""
    return str(export).startswith("yolo:") or Path(export).suffix == ".cfg"


def adopt_detector(export: str | Path, *, labels: str | Path | None, name: str | None, runs: Path) -> Run:
    """Make a run of a detector of Darknet; see :func:`headstart.commands.adopt.adopt`.

    Raises:
        InputError: no such files, no detector, or not as many names as it has classes.
    """
    handle = str(export) if str(export).startswith("yolo:") else f"yolo:{export}"
    base = load_base(handle, progress=False).for_images()
    classes = _class_names(handle, yolo.count_classes(base), labels)
    pixels = np.stack([base.reader().decode(encode_png(image)) for image in golden_images(base.input_size)])
    run_name = check_name(name if name is not None else Path(base.handle.partition(":")[2]).stem)

    def fill(folder: Path, final_name: str) -> None:
        np.savez(folder / "golden.npz", inputs=pixels)
        arguments = {"spec": base.spec.to_json(), "folder": str(folder)}
        difference = keras_worker.call(
            "headstart.commands.adopt_detector:read_detector", arguments, backend=base.backends[-1]
        )
        is_converted = difference is not None
        if is_converted:
            (folder / "engine").mkdir()
            for suffix in (".xml", ".bin"):
                file = (folder / ENGINE_FILE).with_suffix(suffix)
                file.rename(folder / "engine" / file.name)
        facts = RunFacts(
            kind="adopted",
            headstart=versions()["headstart"],
            created=now(),
            name=final_name,
            classes=classes,
            task=Detection.name,
            thresholds=dict.fromkeys(classes, THRESHOLD),
            base=base_facts(base, base.feature_dim or 0),
            engine=engine_facts(KerasEngine.precision, by_openvino=is_converted, difference=difference),
            seed=0,
            versions=versions(),
            audit=[],
            golden=GoldenFacts(count=len(pixels)),
            adopted=AdoptionFacts(path=str(base.weights_path), sha256=base.weights_sha256),
        )
        write_figures(folder, Figures(headline=None, metrics=[], interval=None, splits={}, leak_free=None))
        write_no_predictions(folder)  # nobody knows what it was trained on
        write_facts(folder, facts)
        Predictor(folder, expected=1)  # replays the golden samples

    return Run(write_folder(runs, run_name, fill))


def _class_names(handle: str, n_classes: int, labels: str | Path | None) -> list[str]:
    if labels is None:
        if n_classes in BY_NUMBER:
            return list(BY_NUMBER[n_classes])
        raise InputError(
            f"{handle} has {n_classes} classes, whose names are not in its files: expected a file with a name on each "
            "line.",
            field="labels",
        )
    try:
        names = Path(labels).expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"cannot read the class names in {labels} ({exc}).", field="labels") from exc
    names = [name.strip() for name in names if name.strip()]
    if len(names) != n_classes or len(set(names)) != n_classes:
        raise InputError(
            f"{labels} has {len(set(names))} different names, and {handle} has {n_classes} classes: expected a name "
            "for each, on a line of its own.",
            field="labels",
        )
    return names


def read_detector(spec: dict[str, Any], folder: str) -> float | None:
    """Write the files of a detector, and into ``golden.npz`` what it computes. In a Keras process.

    Returns:
        The difference of the form that OpenVINO runs; None if it cannot run the detector.
    """
    import keras

    base = load_base(BaseSpec.from_json(spec)).for_images()
    model = yolo.detection_model(base)
    boxes, scores = model.outputs
    whole = keras.Model(model.inputs[0], keras.ops.concatenate([boxes, scores], axis=-1), name="headstart")
    golden = Path(folder, "golden.npz")
    with np.load(golden) as saved:
        pixels = saved["inputs"]
    difference = write_model(whole, Path(folder), pixels)
    np.savez(golden, inputs=pixels, probabilities=np.asarray(whole.predict_on_batch(pixels), np.float32))
    return difference
