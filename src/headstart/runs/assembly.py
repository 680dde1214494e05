"""Puts a run together: the finished model in both its forms, its golden samples, its figures and its tables."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import Base
from headstart.config import HeadConfig
from headstart.data.examples import Example
from headstart.data.readers import decode_examples
from headstart.data.run_examples import EXAMPLES, write_examples
from headstart.errors import IntegrityError
from headstart.features.engines import Prepared, prepare
from headstart.model_files.keras_file import FreezeProof, Frozen, fill_template
from headstart.model_files.openvino_file import write_engine
from headstart.runs.answers import figures_of
from headstart.runs.facts import (
    HeadMaterial,
    Material,
    base_facts,
    cost_facts,
    count_out_of_distribution,
    out_of_distribution_facts,
    run_facts,
)
from headstart.runs.files import write_facts, write_figures
from headstart.runs.folder import write_folder
from headstart.runs.predictor import Predictor, check_golden
from headstart.runs.records import decode
from headstart.runs.schema import FreezeProofFacts, GoldenFacts, RunFacts
from headstart.runs.tables import write_history, write_label_issues, write_predictions, write_skipped
from headstart.system import keras_worker
from headstart.system.checksums import checked_folder, is_intact
from headstart.system.cost import Cost
from headstart.system.disk import check_room
from headstart.system.settings import cache_folder
from headstart.training import FineTuneResult

GOLDEN_SAMPLES = 4

_RUN_FACTOR = 1.5  # of the size of the prepared base: the weights of model.keras are unpacked while it is written


@dataclass(frozen=True)
class Pages:
    """What later stages write into the folder of a run.

    Attributes:
        explain: explains the mistakes of a split: called with the finished run, its name and the folder.
        report: writes the report of a folder that is otherwise complete.
    """

    explain: Callable[[Predictor, str, Path], None]
    report: Callable[[Path], object]


def write_run(runs: Path, name: str, material: HeadMaterial, cost: Cost, cache: Path | None, pages: Pages) -> Path:
    """Write the run folder, open it as a user would, and check that it computes what was measured.

    Args:
        runs: folder that it goes into.
        name: of the run, if it is free.
        material: what the stages gave.
        cost: of the run so far.
        cache: the cache folder; None means the user's.
        pages: what is written by later stages.

    Returns:
        The folder.

    Raises:
        IntegrityError: a frozen tensor has changed, or the finished model gives other probabilities.
    """
    golden = golden_indices(material)
    golden_examples = material.audit.usable[golden].tolist()
    examples = [material.dataset.examples[i] for i in golden_examples]
    check_unchanged(examples, [material.features.digests[i] for i in golden_examples])
    inputs = decode_examples(material.base.reader(), examples)
    expected = material.answers.outputs[golden]
    prepared = prepare(material.base, cache or cache_folder(), inputs)
    size = sum(file.stat().st_size for file in prepared.folder.iterdir())
    check_room(runs, _RUN_FACTOR * size, f"the files of the run {name}")

    def fill(folder: Path, final_name: str) -> None:
        facts, proof = _write_model(folder, material, prepared, inputs, final_name)
        texts = [example.text for example in examples]  # they prove the tokenizer as well
        arrays: dict[str, Any] = {"texts": np.array(texts)} if material.dataset.modality.is_in_tables else {}
        np.savez(folder / "golden.npz", inputs=inputs, probabilities=expected, **arrays)
        samples = GoldenFacts(count=len(golden))
        facts = facts.replace(
            freeze_proof=decode(FreezeProofFacts, asdict(proof)),
            golden=samples,
            cost=cost_facts(cost, material.features),
        )
        write_facts(folder, facts)
        finished = Predictor(folder, expected=1)  # replays the golden samples through the finished model
        difference = check_golden(folder, finished.values(inputs), expected, facts.engine.precision)
        write_tables(folder, material)
        write_figures(folder, figures_of(material.figures, material.headline, material.leak_free))
        pages.explain(finished, material.headline, folder)
        samples = samples.replace(difference=difference)
        write_facts(folder, facts.replace(golden=samples, cost=cost_facts(cost, material.features)))
        pages.report(folder)

    return write_folder(runs, name, fill)


def check_unchanged(examples: Sequence[Example], digests: Sequence[bytes | None]) -> None:
    """See that examples still have the content that their features are of.

    Raises:
        IntegrityError: one has not; the golden samples would differ without a reason that anybody could see.
    """
    for example, digest in zip(examples, digests, strict=True):
        if example.digest() != digest:
            raise IntegrityError(f"{example.name} has changed since it was read in this run. Run the command again.")


def _write_model(
    folder: Path, material: HeadMaterial, prepared: Prepared, inputs: np.ndarray, name: str
) -> tuple[RunFacts, FreezeProof]:
    """Write the model in both its forms, and what lies beside it."""
    base, detector = material.base, material.detector if prepared.xml else None
    tokenizer = base.save_reader(folder)
    unlike = out_of_distribution_facts(detector, count_out_of_distribution(material, detector)) if detector else None
    facts = run_facts(material, prepared, name, base_facts(base, material.features.dim, tokenizer), unlike)
    template = template_for(base, material.head_choice.config, prepared, inputs)
    proof = fill_template(template, material.head, inside(facts), folder / "model.keras", frozen=_frozen(material))
    if prepared.xml:
        (folder / "engine").mkdir(exist_ok=True)
        write_engine(prepared.xml, material.head, folder / "engine" / "model.xml")
    if detector:
        detector.save(folder)
    return facts, proof


def write_tables(folder: Path, material: Material) -> None:
    """Write every table that the run has."""
    write_predictions(folder, material.dataset.classes, material.answers)
    write_skipped(folder, material.audit.skipped)
    write_history(folder, material.history)
    if material.data_path == EXAMPLES:
        write_examples(folder, material.dataset, material.splits)
    if material.label_issues is not None:
        write_label_issues(folder, material.dataset, material.answers, material.audit.usable, material.label_issues)


def template_for(base: Base, head_config: HeadConfig, prepared: Prepared, inputs: np.ndarray) -> Path:
    """The template of ``model.keras`` for a head as the head_config gives it; created if missing."""
    if head_config.kind == "linear":
        return prepared.template
    layers = f"dense-{'-'.join(map(str, head_config.units))}-dropout-{head_config.dropout:g}"
    folder = prepared.folder.with_name(f"{prepared.folder.name}-{layers}")
    if not is_intact(folder):
        with checked_folder(folder, shared=True) as filled:
            np.save(filled / "probe.npy", inputs)
            arguments = {
                "spec": base.spec.to_json(),
                "units": list(head_config.units),
                "dropout": head_config.dropout,
                "out": str(filled / "template.keras"),
                "probe": str(filled / "probe.npy"),
            }
            keras_worker.call("headstart.model_files.keras_file:make_template_for", arguments, backend=base.backends[0])
    return folder / "template.keras"


def golden_indices(material: Material) -> np.ndarray:
    """Positions of a few examples, spread over the data."""
    n = len(material.audit.usable)
    return np.unique(np.linspace(0, n - 1, min(n, GOLDEN_SAMPLES)).astype(int))


def inside(facts: RunFacts) -> dict[str, Any]:
    """What travels inside ``model.keras``: enough to use the file alone."""
    plain = facts.to_json()
    return {name: plain[name] for name in ("headstart", "name", "classes", "task", "thresholds", "base")}


def _frozen(material: HeadMaterial) -> Frozen | None:
    """What was frozen in fine-tuning; None where all of the base was."""
    is_kept = material.verdict.outcome == "kept"
    return material.tuned.frozen if is_kept and isinstance(material.tuned, FineTuneResult) else None
