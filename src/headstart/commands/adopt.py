"""Models that others have trained, as runs: to predict with, to evaluate, to keep beside one's own.

Detectors of Darknet are in :mod:`headstart.commands.adopt_detector`; here are classifiers of Teachable Machine. An
export is a base and a head like any other, so it becomes a run by the same steps. Its golden samples are images
that are not square; their probabilities are what Keras computes with the export as a whole, after the crop of the code
that comes with an export.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from headstart.bases import Base, BaseSpec, load_base, teachable_machine
from headstart.commands.adopt_detector import adopt_detector, is_darknet
from headstart.commands.adoption_images import encode_png, golden_images
from headstart.commands.load import Run
from headstart.config import HeadConfig
from headstart.errors import InputError
from headstart.features.engines import Prepared, prepare
from headstart.model_files.head_layers import HeadLayers, load_layers, save_layers
from headstart.model_files.keras_file import fill_template
from headstart.model_files.openvino_file import write_engine
from headstart.runs.assembly import inside, template_for
from headstart.runs.facts import base_facts, engine_facts, now
from headstart.runs.files import write_facts, write_figures
from headstart.runs.folder import check_name, versions, write_folder
from headstart.runs.predictor import Predictor
from headstart.runs.schema import AdoptionFacts, Figures, GoldenFacts, RunFacts
from headstart.runs.tables import write_no_predictions
from headstart.system import keras_compat, keras_worker
from headstart.system.settings import cache_folder
from headstart.tasks.single_label import SingleLabel

MODEL, LABELS = "keras_model.h5", "labels.txt"


def adopt(
    export: str | Path, *, labels: str | Path | None = None, name: str | None = None, runs: str | Path = "runs"
) -> Run:
    """Make a run of a classifier that Teachable Machine has exported as a Keras model, or of a detector of Darknet.

    Args:
        export: the folder with ``keras_model.h5`` and ``labels.txt``, or the model file; or the ``.cfg`` of a detector,
            with its ``.weights`` beside it, as a path or as ``yolo:PATH``.
        labels: the file of class names, where it does not lie beside the model. For a detector, a name on each line;
            those of COCO or Pascal VOC are known.
        name: of the run; that of the folder, or of the ``.cfg``, when None. An existing one is never overwritten.
        runs: folder that it goes into.

    Raises:
        InputError: no such files, another kind of model, or not as many names as it has classes.
        IntegrityError: the run computes something else than the export does.
    """
    if is_darknet(export):
        return adopt_detector(export, labels=labels, name=name, runs=Path(runs))
    path = _model_file(Path(export).expanduser())
    base = load_base(f"file:{path}", progress=False).for_images()
    if base.preprocessing != teachable_machine.PREPROCESSING:
        raise InputError(
            f"{path} is not an export of Teachable Machine. To use a model of your own as a base: "
            f"`headstart train DATA --base file:{path}`."
        )
    classes = _read_names(Path(labels).expanduser() if labels else path.with_name(LABELS))
    images = golden_images(base.input_size)
    pixels = np.stack([base.reader().decode(encode_png(image)) for image in images])
    prepared = prepare(base, cache_folder(), pixels)
    run_name = check_name(name if name is not None else path.resolve().parent.name)

    def fill(folder: Path, final_name: str) -> None:
        golden = folder / "golden.npz"
        np.savez(golden, inputs=pixels, by_export=[_crop_as_the_export(image, base.input_size) for image in images])
        arguments = {"spec": base.spec.to_json(), "folder": str(folder)}
        keras_worker.call("headstart.commands.adopt:read_export", arguments)
        head = HeadLayers(load_layers(folder / "head.npz"))
        (folder / "head.npz").unlink()
        kernels = [kernel.shape for kernel, _ in head.layers]
        if kernels[-1][1] != len(classes):
            raise InputError(f"{path} has {kernels[-1][1]} classes, and {len(classes)} names are given: {classes}.")
        head_config = HeadConfig(head="mlp", dense=tuple(width for _, width in kernels[:-1]), dropout=0.0)
        adopted = AdoptionFacts(path=str(path.resolve()), sha256=base.weights_sha256)
        facts = _run_facts(final_name, classes, base, prepared, adopted, dim=kernels[0][0], n_golden=len(pixels))
        fill_template(template_for(base, head_config, prepared, pixels), head, inside(facts), folder / "model.keras")
        if prepared.xml:
            (folder / "engine").mkdir()
            write_engine(prepared.xml, head, folder / "engine" / "model.xml")
        write_figures(folder, Figures(headline=None, metrics=[], interval=None, splits={}, leak_free=None))
        write_no_predictions(folder)  # nobody knows what it was trained on
        write_facts(folder, facts)
        Predictor(folder, expected=1)  # replays the golden samples

    return Run(write_folder(Path(runs), run_name, fill))


def _run_facts(
    name: str, classes: list[str], base: Base, prepared: Prepared, adopted: AdoptionFacts, *, dim: int, n_golden: int
) -> RunFacts:
    """What ``run.json`` says of an adopted run: nothing of its data, which nobody knows."""
    return RunFacts(
        kind="adopted",
        headstart=versions()["headstart"],
        created=now(),
        name=name,
        classes=classes,
        task=SingleLabel.name,
        base=base_facts(base, dim),
        engine=engine_facts(
            "float32", by_openvino=prepared.xml is not None, difference=prepared.facts.get("difference")
        ),  # it answers as the export does
        seed=HeadConfig().seed,
        versions=versions(),
        audit=[],
        golden=GoldenFacts(count=n_golden),
        adopted=adopted,
    )


def _model_file(export: Path) -> Path:
    """The model file of an export.

    Raises:
        InputError: the folder has none, or the file is no model.
    """
    path = export / MODEL if export.is_dir() else export
    if path.is_file() and path.suffix.lower() in (".h5", ".keras"):
        return path
    problem = f"it has no {MODEL} in it" if export.is_dir() else "there is no such file or folder"
    problem = "it is no model file" if path.is_file() else problem
    raise InputError(
        f"{export} is not an export of Teachable Machine: {problem}. Expected the folder that it exports for Keras, "
        f"with {MODEL} and {LABELS}, or its model file."
    )


def _read_names(path: Path) -> list[str]:
    """Class names: a line each, with a number before it, as in ``0 china``."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"cannot read the class names in {path} ({exc}).", field="labels") from exc
    names = [line.split(maxsplit=1) for line in lines if line.strip()]
    for number, parts in enumerate(names):
        if len(parts) != 2 or parts[0] != str(number):
            raise InputError(f"{path}, line {number + 1}: expected '{number} NAME', as Teachable Machine writes it.")
    return [name for _, name in names]


def _crop_as_the_export(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """The pixels, uint8 (h, w, 3), that the code that comes with an export gives to its model."""
    return np.asarray(ImageOps.fit(image, size[::-1], Image.Resampling.LANCZOS))


def read_export(spec: dict[str, Any], folder: str) -> None:
    """Write ``head.npz``, and into ``golden.npz`` what the export as a whole computes. In a Keras process."""
    base = load_base(BaseSpec.from_json(spec)).for_images()
    whole = base.build(True)
    layers = []
    layers_by_name = {layer.name: layer for layer in keras_compat.all_layers(whole)}
    for layer in (layers_by_name[name] for name in teachable_machine.HEAD):
        kernel, *bias = layer.get_weights()
        layers.append((kernel, bias[0] if bias else np.zeros(kernel.shape[1], np.float32)))
    save_layers(layers, Path(folder, "head.npz"))
    golden = Path(folder, "golden.npz")
    with np.load(golden) as saved:
        pixels, by_export = saved["inputs"], saved["by_export"]
    probabilities = np.asarray(whole.predict(base.preprocessing.array(by_export), verbose=0), np.float32)
    np.savez(golden, inputs=pixels, probabilities=probabilities)
