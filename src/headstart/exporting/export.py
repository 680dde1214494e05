"""A finished run in other formats: ONNX, LiteRT, OpenVINO, TensorFlow's SavedModel and Keras's own.

Before an export appears it has to repeat, in its own runtime and from its own files, what the run says of its golden
samples and of examples that it was not trained on.
"""

import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.readers import NOUNS
from headstart.errors import InputError, IntegrityError, counted
from headstart.evaluation import evaluate, evaluate_labels
from headstart.evaluation.compare import compare, compare_labels
from headstart.evaluation.metrics import LEVEL
from headstart.exporting.beside import card, write_beside
from headstart.exporting.convert import save_sample
from headstart.exporting.formats import Format, check_installed, check_possible, own_layers, parse
from headstart.exporting.runtimes import open_model, replay
from headstart.exporting.sample import Sample, calibration, draw
from headstart.features.engines import OpenVINOEngine
from headstart.runs.files import read_facts
from headstart.runs.folder import write_folder
from headstart.runs.predictor import Predictor
from headstart.runs.run import RunFolder
from headstart.system import keras_worker
from headstart.system.display import shown
from headstart.system.progress import Progress

logger = logging.getLogger(__name__)

_AMONG_KERAS = ("saved-model", "keras")
_LOSS = 0.05  # of accuracy, that is said where the examples cannot rule it out


@dataclass(frozen=True)
class Replay:
    """What an export computes, beside what the run computes.

    Attributes:
        ms: milliseconds for one example by itself, on one machine, this one.
        difference: largest, of a probability.
        examples: held-out ones, that the following is about; 0 where none is at hand.
        changed: of how many of them the answer is another.
        metric: ``accuracy``, or for multi-label runs ``mean_average_precision``.
        before: of the run; None without examples.
        after: of the export.
        interval: (low, high), 95 % interval of ``after``.
        gain: (low, high), 95 % interval of ``after`` minus ``before``, on the same examples.
    """

    ms: float
    difference: float
    examples: int
    changed: int
    metric: str
    before: float | None = None
    after: float | None = None
    interval: tuple[float, float] | None = None
    gain: tuple[float, float] | None = None


@dataclass(frozen=True)
class Export:
    """A run in another format.

    Attributes:
        format: its name.
        folder: with the model, its labels and a script that uses it.
        model: the model's own file, or folder.
        size_mb: of the model, in 10^6 bytes.
        replay: how it compares with the run.
    """

    format: str
    folder: Path
    model: Path
    size_mb: float
    replay: Replay

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "folder": str(self.folder), "model": str(self.model)}


def export(
    run: str | Path | RunFolder,
    to: str | Sequence[str] = "onnx",
    *,
    out: str | Path | None = None,
    progress: bool | Progress = True,
) -> list[Export]:
    """Export a run, for use without headstart; all formats or, if one fails, none.

    The models take what the run's own takes: raw uint8 pixels (n, h, w, 3), or int32 token ids (n, t) with the
    tokenizer beside the model; LiteRT's take one example at a time. They give probabilities (n, classes). Each lies in
    a new folder, with ``labels.txt``, ``export.json`` and a ``predict.py`` that needs no headstart.

    Args:
        run: the run, or its folder.
        to: formats, see :data:`headstart.exporting.formats.FORMATS`; several as a list, or divided by commas.
        out: folder that the new ones go into; ``RUN/exports`` when None.
        progress: as for :func:`headstart.train`.

    Returns:
        One for each format, in their order.

    Raises:
        InputError: no such run or format, or the run cannot be had in it.
        UnavailableError: a package is missing.
        IntegrityError: an export computes something else than the run: by more than its tolerance, or its answers are
            worse beyond luck.
    """
    folder = run.folder if isinstance(run, RunFolder) else Path(run)
    facts = read_facts(folder)
    if facts.evaluation_of:
        raise InputError(f"{folder} is an evaluation: export the run that it is of, {facts.evaluation_of}.")
    formats = parse(to)
    check_possible(formats, folder, facts)
    check_installed(formats)
    parent = Path(out).expanduser() if out is not None else folder / "exports"
    predictor = Predictor(folder)
    sample = draw(predictor, RunFolder(folder).figures.headline)
    with shown(progress):
        return _export(predictor, formats, parent, sample)


def _export(predictor: Predictor, formats: Sequence[Format], parent: Path, sample: Sample) -> list[Export]:
    if not len(sample.labels):
        logger.info("none of the run's held-out examples is where it was: only the golden samples are replayed")
    with _scratch(parent) as place:
        _write_models(predictor, formats, place)
        replayed = _replayed(formats, place, sample)
        reference = _reference(predictor, sample)
        replays = {one.name: judged(one, *replayed[one.name], reference, sample, predictor) for one in formats}
        return [_keep(one, replays[one.name], place, parent, predictor) for one in formats]


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A folder in ``parent`` for what is not finished; a new ``parent`` is not left behind empty either."""
    is_new = not parent.exists()
    parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=".exporting-") as scratch:
            yield Path(scratch).resolve()
    finally:
        if is_new:
            with suppress(OSError):  # not empty
                parent.rmdir()


def _write_models(predictor: Predictor, formats: Sequence[Format], place: Path) -> None:
    """Write each model into a folder of its own."""
    by_keras = [one for one in formats if one.needs_tensorflow]
    for one in formats:
        if one.kind == "openvino":
            _write_openvino(predictor, place / one.folder / one.file)
        elif one.kind == "keras":
            (place / one.folder).mkdir()
            shutil.copyfile(predictor.folder / "model.keras", place / one.folder / one.file)
    if not by_keras:
        return
    pictures = None
    if any(one.precision == "int8" for one in by_keras):
        pictures = place / "calibration.npy"
        np.save(pictures, _calibration(predictor))
    logger.info(f"converting to {', '.join(one.name for one in by_keras)} …")
    model = predictor.folder / "model.keras"
    arguments = {
        "model": str(model.resolve()),
        "layers": sorted(own_layers(model)),
        "formats": [one.name for one in by_keras],
        "out": str(place),
        "card": card(predictor.facts),
        "calibration": pictures and str(pictures),
    }
    keras_worker.call("headstart.exporting.convert:convert", arguments, backend="tensorflow")


def _calibration(predictor: Predictor) -> np.ndarray:
    pictures = calibration(predictor)
    if len(pictures):
        return pictures
    root = predictor.facts.data_root
    said = (
        f"are no longer as they were in {root}: put them back, or" if root else "are not known, because it was adopted:"
    )
    raise InputError(
        f"litert:int8 is calibrated with the pictures that {predictor.folder} was trained on, and these "
        f"{said} export to litert:float16."
    )


def _write_openvino(predictor: Predictor, path: Path) -> None:
    """The run's engine without its second output, the features; labels as OpenVINO's Model API reads them."""
    import openvino

    path.parent.mkdir()
    graph = openvino.Core().read_model(str(predictor.folder / "engine" / "model.xml"))
    alone = openvino.Model(graph.get_results()[:1], graph.get_parameters(), "headstart")
    known = card(predictor.facts)
    alone.set_rt_info("Classification", ["model_info", "model_type"])
    alone.set_rt_info(str(predictor.thresholds is not None), ["model_info", "multilabel"])
    labels = " ".join(name.replace(" ", "_") for name in predictor.classes)  # there, a space divides labels
    alone.set_rt_info(labels, ["model_info", "labels"])
    alone.set_rt_info(known["headstart"], ["headstart"])
    openvino.save_model(alone, str(path), compress_to_fp16=False)


def _reference(predictor: Predictor, sample: Sample) -> np.ndarray:
    """What the run says of a sample, in float32: probabilities (n, classes)."""
    xml = predictor.folder / "engine" / "model.xml"
    engine = OpenVINOEngine(xml, "float32") if xml.exists() else None
    n = len(predictor.classes)
    return np.concatenate(
        [engine(batch)[:, :n] if engine else predictor.probabilities(batch) for batch in sample.batches]
    )


def _replayed(formats: Sequence[Format], place: Path, sample: Sample) -> dict[str, tuple[np.ndarray, float]]:
    """What each export says of a sample in its own runtime: probabilities, and milliseconds for one example."""
    models = {one.name: place / one.folder / one.file for one in formats}
    among_keras = {one.kind: str(models[one.name]) for one in formats if one.kind in _AMONG_KERAS}
    found = {
        one.name: replay(open_model(one.kind, models[one.name]), sample.batches, sample.singles)
        for one in formats
        if one.kind not in among_keras
    }
    if among_keras:
        save_sample(place / "sample.npz", sample.batches, sample.singles)
        arguments = {"models": among_keras, "sample": str(place / "sample.npz"), "out": str(place)}
        backend = "tensorflow" if find_spec("tensorflow") else keras_worker.INFERENCE_BACKEND
        taken = keras_worker.call("headstart.exporting.convert:replay_here", arguments, backend=backend)
        found |= {kind: (np.load(place / f"{kind}.npy"), ms) for kind, ms in taken.items()}
    return found


def judged(
    one: Format, found: np.ndarray, ms: float, reference: np.ndarray, sample: Sample, predictor: Predictor
) -> Replay:
    """Compare what an export said with what the run says.

    Raises:
        IntegrityError: they differ by more than they may.
    """
    difference = float(np.abs(found - reference).max()) if found.shape == reference.shape else np.inf
    if not difference <= one.tolerance:
        raise IntegrityError(
            f"{one.name}: a probability differs from the run's by {difference:.1e}, more than {one.tolerance:.0e}. "
            f"Nothing was written; {one.instead or 'please report this.'}"
        )
    n = len(sample.labels)
    if not n:
        return Replay(ms, difference, 0, 0, _metric(predictor))
    answers, is_worse = _answers(sample.labels, reference[-n:], found[-n:], predictor)
    result = Replay(ms, difference, n, **answers)
    held_out = counted(n, f"held-out {NOUNS[predictor.modality]}")
    told = (
        f"{one.name}: on {held_out} {result.metric.replace('_', ' ')} falls from {result.before:.1%} to "
        f"{result.after:.1%} ({counted(result.changed, 'answer')} changed)"
    )
    if is_worse:
        raise IntegrityError(
            f"{told}, which is more than luck. Nothing was written; {one.instead or 'please report this.'}"
        )
    if answers["after"] < answers["before"] and answers["gain"][0] < -_LOSS:
        logger.warning(f"{told}. On so few this may be luck, or the loss be larger. {one.instead}".rstrip())
    return result


def _metric(predictor: Predictor) -> str:
    return "accuracy" if predictor.thresholds is None else "mean_average_precision"


def _answers(
    labels: np.ndarray, before: np.ndarray, after: np.ndarray, predictor: Predictor
) -> tuple[dict[str, Any], bool]:
    """What two models' answers about the same examples say: fields of a :class:`Replay`, and whether one is worse.

    The second is worse if it is so beyond luck: by McNemar's exact test, or by the bootstrap where examples have any
    number of labels.
    """
    seed, thresholds, metric = predictor.facts.seed, predictor.thresholds, _metric(predictor)
    if thresholds is None:
        compared = compare(labels, before, after, seed=seed)
        pair, gain, is_luck = compared.accuracy, compared.accuracy_gain, compared.p_value >= 1 - LEVEL
        changed = before.argmax(1) != after.argmax(1)
        figures = evaluate(labels, after, predictor.classes, seed=seed)
    else:
        of_labels = compare_labels(labels, before, after, seed=seed)
        pair, gain = of_labels.mean_average_precision, of_labels.precision_gain
        is_luck = gain[1] >= 0
        changed = ((before >= thresholds) != (after >= thresholds)).any(1)
        figures = evaluate_labels(labels, after, predictor.classes, thresholds, seed=seed)
    fields = {
        "changed": int(changed.sum()),
        "metric": metric,
        "before": pair[0],
        "after": pair[1],
        "interval": (figures[metric]["low"], figures[metric]["high"]),
        "gain": gain,
    }
    return fields, pair[1] < pair[0] and not is_luck


def _keep(one: Format, replayed: Replay, place: Path, parent: Path, predictor: Predictor) -> Export:
    """Let an export appear in its final place, complete."""

    def fill(scratch: Path, _: str) -> None:
        for item in (place / one.folder).iterdir():
            item.rename(scratch / item.name)
        write_beside(scratch, predictor.folder, predictor.facts, one, asdict(replayed))

    final = write_folder(parent, one.folder, fill)
    model = final / one.file
    files = [path for path in model.rglob("*") if path.is_file()] if model.is_dir() else [model]
    files += [model.with_suffix(".bin")] if one.kind == "openvino" else []
    return Export(one.name, final, model, sum(path.stat().st_size for path in files) / 1e6, replayed)
