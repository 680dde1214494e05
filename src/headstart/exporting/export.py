"""Export of a finished run to other formats: ONNX, LiteRT, OpenVINO, TensorFlow's SavedModel and Keras's own.

Before an export appears, it is verified in its own runtime and from its own files: it must repeat the predictions of
the run for the golden samples and for examples that the run was not trained on.
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import InputError, IntegrityError, counted, field_name
from headstart.exporting.companions import card, write_companions
from headstart.exporting.convert import save_sample
from headstart.exporting.formats import DETECTIONS, PROBABILITIES, Format, check_installed, check_possible, own_layers
from headstart.exporting.openvino_model import write_openvino
from headstart.exporting.runtimes import open_model, open_suppressing, replay
from headstart.exporting.sample import Sample, draw_calibration, draw_sample
from headstart.features.engines import OpenVINOEngine
from headstart.runs.files import read_facts
from headstart.runs.folder import write_folder
from headstart.runs.predictor import Predictor
from headstart.runs.run import RunFolder
from headstart.system import keras_worker
from headstart.system.scratch import make_folder, scratch_folder

logger = logging.getLogger(__name__)

_KERAS_KINDS = ("saved-model", "keras")
_POSSIBLE_LOSS = 0.05  # warn if the interval does not exclude this loss of accuracy


@dataclass(frozen=True)
class Replay:
    """The results of an export, compared with those of the run.

    Attributes:
        ms: milliseconds for one example by itself on this machine.
        difference: largest difference of a probability; of a detector, of a score or of an edge of a box as a share of
            the input.
        examples: number of held-out examples for the fields below; 0 if none are available.
        changed: number of them with another predicted class, other labels, or other objects.
        metric: the metric that decides between two models of the task, in words, such as ``accuracy``.
        is_share: whether it is written in percent.
        before: metric of the run; None without examples.
        after: metric of the export; None without examples.
        interval: (low, high), 95 % interval of ``after``.
        gain: (low, high), 95 % interval of how much better ``after`` is than ``before``, on the same examples.
    """

    ms: float
    difference: float
    examples: int
    changed: int
    metric: str
    is_share: bool
    before: float | None = None
    after: float | None = None
    interval: tuple[float, float] | None = None
    gain: tuple[float, float] | None = None


@dataclass(frozen=True)
class Export:
    """A run in another format.

    Attributes:
        format: name of the format.
        folder: folder with the model, its labels and a script that uses it.
        model: file or folder of the model.
        size_mb: size of the model, in 10^6 bytes.
        replay: comparison with the run.
    """

    format: str
    folder: Path
    model: Path
    size_mb: float
    replay: Replay

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "folder": str(self.folder), "model": str(self.model)}


def export_run(folder: Path, formats: Sequence[Format], parent: Path) -> list[Export]:
    """Convert the model of a run, verify the results, and move them to their final folders.

    Args:
        folder: the run folder.
        formats: formats to export to.
        parent: folder for the new folders, one for each format.

    Raises:
        InputError: the folder is not a run, or the run cannot be exported to a format.
        UnavailableError: a package is missing.
        IntegrityError: an export does not repeat the run's predictions.
    """
    facts = read_facts(folder)
    if facts.evaluation_of:
        raise InputError(f"{folder} is an evaluation. Export the run that was evaluated: {facts.evaluation_of}.")
    check_possible(formats, folder, facts)
    check_installed(formats)
    predictor = Predictor(folder)
    sample = draw_sample(predictor, RunFolder(folder).figures.headline)
    if not len(sample.labels):
        logger.info("the run's held-out examples are no longer available: only the golden samples are replayed")
    with _scratch_folder(parent) as scratch:
        _write_models(predictor, formats, scratch)
        results = _replay_all(formats, scratch, sample)
        reference = _reference(predictor, sample)
        replays = {
            target.name: verify(
                target,
                *results[target.name],
                reference,
                sample,
                predictor,
                _suppressed(target, scratch, sample, predictor),
            )
            for target in formats
        }
        return [_publish(target, replays[target.name], scratch, parent, predictor) for target in formats]


@contextmanager
def _scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder in ``parent`` for unfinished exports. A new ``parent`` that stays empty is removed."""
    is_new = not parent.exists()
    try:
        make_folder(parent)
    except InputError as exc:
        raise InputError(exc.message, field="out") from exc
    try:
        with scratch_folder(parent, "exporting") as scratch:
            yield scratch.resolve()
    finally:
        if is_new:
            with suppress(OSError):  # not empty
                parent.rmdir()


def _write_models(predictor: Predictor, formats: Sequence[Format], scratch: Path) -> None:
    """Write each model into its own folder."""
    by_tensorflow = [target for target in formats if target.needs_tensorflow]
    for target in formats:
        if target.kind == "openvino":
            write_openvino(predictor, scratch / target.folder / target.file)
        elif target.kind == "keras":
            (scratch / target.folder).mkdir()
            shutil.copyfile(predictor.folder / "model.keras", scratch / target.folder / target.file)
    if not by_tensorflow:
        return
    calibration_file = None
    if any(target.precision == "int8" for target in by_tensorflow):
        calibration_file = scratch / "calibration.npy"
        np.save(calibration_file, _calibration_images(predictor))
    logger.info(f"converting to {', '.join(target.name for target in by_tensorflow)} …")
    model = predictor.folder / "model.keras"
    arguments = {
        "model": str(model.resolve()),
        "layers": sorted(own_layers(model)),
        "formats": [target.name for target in by_tensorflow],
        "out": str(scratch),
        "card": card(predictor.facts),
        "calibration": calibration_file and str(calibration_file),
        "output": DETECTIONS if predictor.task.has_boxes else PROBABILITIES,
    }
    keras_worker.call("headstart.exporting.convert:convert", arguments, backend="tensorflow")


def _calibration_images(predictor: Predictor) -> np.ndarray:
    images = draw_calibration(predictor)
    if len(images):
        return images
    root = predictor.facts.data_root
    problem = (
        f"they are missing or changed in {root}. Restore them, or export to litert:float16."
        if root
        else "they are not known, because the run was adopted. Export to litert:float16."
    )
    raise InputError(f"litert:int8 needs the training images of {predictor.folder} for its calibration: {problem}")


def _reference(predictor: Predictor, sample: Sample) -> np.ndarray:
    """The values (n, …) of the run for a sample, in float32."""
    xml = predictor.folder / "engine" / "model.xml"
    if not xml.exists():
        return np.concatenate([predictor.values(batch) for batch in sample.batches])
    engine, n_classes = OpenVINOEngine(xml, "float32"), len(predictor.classes)
    return np.concatenate([predictor.task.model_values(engine(batch), n_classes) for batch in sample.batches])


def _replay_all(formats: Sequence[Format], scratch: Path, sample: Sample) -> dict[str, tuple[np.ndarray, float]]:
    """Results of each export for a sample in its own runtime: values, and milliseconds for one example."""
    models = {target.name: scratch / target.folder / target.file for target in formats}
    with_keras = {target.kind: str(models[target.name]) for target in formats if target.kind in _KERAS_KINDS}
    results = {
        target.name: replay(open_model(target.kind, models[target.name]), sample.batches, sample.singles)
        for target in formats
        if target.kind not in with_keras
    }
    if with_keras:
        save_sample(scratch / "sample.npz", sample.batches, sample.singles)
        arguments = {"models": with_keras, "sample": str(scratch / "sample.npz"), "out": str(scratch)}
        backend = "tensorflow" if find_spec("tensorflow") else keras_worker.INFERENCE_BACKEND
        milliseconds = keras_worker.call("headstart.exporting.convert:replay_with_keras", arguments, backend=backend)
        results |= {kind: (np.load(scratch / f"{kind}.npy"), ms) for kind, ms in milliseconds.items()}
    return results


def _suppressed(target: Format, scratch: Path, sample: Sample, predictor: Predictor) -> np.ndarray | None:
    if not target.suppresses_boxes:
        return None
    model = open_suppressing(scratch / target.folder / target.file, len(predictor.classes))
    return np.concatenate([model(batch) for batch in sample.batches])


def verify(
    target: Format,
    values: np.ndarray,
    ms: float,
    reference: np.ndarray,
    sample: Sample,
    predictor: Predictor,
    suppressed: np.ndarray | None = None,
) -> Replay:
    """Compare the values of an export with those of the run.

    Args:
        target: format of the export.
        values: (n, …), of the export: probabilities, or boxes and scores.
        ms: milliseconds for one example by itself.
        reference: (n, …), of the run.
        sample: the examples; their held-out ones are the last.
        predictor: the run.
        suppressed: (n, k, 4 + classes), the values of the boxes that the export leaves, if it suppresses boxes itself.

    Raises:
        IntegrityError: a value differs by more than the tolerance, or the metric is significantly worse.
    """
    same_shape = values.shape == reference.shape
    difference = float(np.abs(values - reference).max()) if same_shape else np.inf
    advice = target.advice or "Please report this."
    if not difference <= target.tolerance:
        value = "a score or an edge of a box" if predictor.task.has_boxes else "a probability"
        raise IntegrityError(
            f"{target.name}: {value} differs by {difference:.1e} from that of the run, more than "
            f"{target.tolerance:.0e}. Nothing was written. {advice}"
        )
    n, metric = len(sample.labels), predictor.task.deciding
    if not n:
        return Replay(ms, difference, 0, 0, metric.in_text, metric.is_share)
    compared_values = values if suppressed is None else suppressed
    fields, has_lost, is_significant = _compare(sample, reference[-n:], compared_values[-n:], predictor)
    result = Replay(ms, difference, n, metric=metric.in_text, is_share=metric.is_share, **fields)
    held_out = counted(n, f"held-out {predictor.modality.noun}")
    verb = "falls" if metric.higher_is_better else "rises"
    loss = (
        f"{target.name}: on {held_out} {metric.in_text} {verb} from {metric.format_value(result.before)} to "
        f"{metric.format_value(result.after)} ({counted(result.changed, 'prediction')} changed)"
    )
    if has_lost and is_significant:
        if target.precision == "int8" and predictor.facts.base.spec.taps:
            own = field_name("features", "own")
            advice = f"{advice} Features of all blocks suffer from 8 bits: a run with {own} may not."
        raise IntegrityError(f"{loss}. This is a significant loss. Nothing was written. {advice}")
    if has_lost and fields["gain"][0] < -_POSSIBLE_LOSS:
        logger.warning(
            f"{loss}. This is not significant, but with so few examples a larger loss is possible. "
            f"{target.advice}".rstrip()
        )
    return result


def _compare(
    sample: Sample, reference: np.ndarray, values: np.ndarray, predictor: Predictor
) -> tuple[dict[str, Any], bool, bool]:
    """Compare the predictions of two models for the held-out examples.

    Returns:
        Fields of a :class:`Replay`; whether the second is worse; and whether the difference is significant.
    """
    task, thresholds, seed, n_classes = (
        predictor.task,
        predictor.thresholds,
        predictor.facts.seed,
        len(predictor.classes),
    )
    before, after = (task.read_values(of_model, n_classes, sample.frames)[0] for of_model in (reference, values))
    comparison = task.compare(sample.labels, before, after, seed=seed)
    is_changed = task.changes(task.decide(before, thresholds), task.decide(after, thresholds))
    figures = task.evaluate(sample.labels, after, predictor.classes, thresholds, seed=seed)
    figure = figures[task.deciding_metric]
    fields = {
        "changed": int(is_changed.sum()),
        "before": comparison.value[0],
        "after": comparison.value[1],
        "interval": (figure["low"], figure["high"]),
        "gain": comparison.gain_interval,
    }
    return fields, comparison.gain < 0, comparison.is_significant


def _publish(target: Format, result: Replay, scratch: Path, parent: Path, predictor: Predictor) -> Export:
    """Copy a complete export to its final folder."""

    def fill(partial: Path, _: str) -> None:
        shutil.copytree(scratch / target.folder, partial, dirs_exist_ok=True)
        write_companions(partial, predictor.folder, predictor.facts, target, asdict(result))

    final = write_folder(parent, target.folder, fill)
    model = final / target.file
    files = [path for path in model.rglob("*") if path.is_file()] if model.is_dir() else [model]
    files += [model.with_suffix(".bin")] if target.kind == "openvino" else []
    return Export(target.name, final, model, sum(path.stat().st_size for path in files) / 1e6, result)
