"""Puts the run of a detector together: its model in both forms, golden samples, figures and tables."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from headstart.data.readers import decode_examples
from headstart.runs.answers import figures_of
from headstart.runs.assembly import Pages, check_unchanged, golden_indices, write_tables
from headstart.runs.facts import Material, base_facts, common_facts, cost_facts, engine_facts
from headstart.runs.files import write_facts, write_figures
from headstart.runs.folder import write_folder
from headstart.runs.predictor import Predictor, check_golden
from headstart.runs.records import decode
from headstart.runs.schema import DetectorFacts, FreezeProofFacts, GoldenFacts, RunFacts
from headstart.runs.tables import HistoryRow
from headstart.system.cost import Cost
from headstart.system.disk import check_room
from headstart.training.detection import DetectorResult, open_detector


@dataclass(frozen=True, kw_only=True)
class DetectorMaterial(Material):
    """What the stages of a training of a detector gave.

    Attributes:
        result: the detector.
        precision: in which the engine computes.
    """

    result: DetectorResult
    precision: str

    @property
    def history(self) -> list[HistoryRow]:
        """Rows for ``history.csv``."""
        return [HistoryRow(**row) for row in self.result.history]


def write_detector_run(runs: Path, name: str, material: DetectorMaterial, cost: Cost, pages: Pages) -> Path:
    """Write the run folder, open it as a user would, and check that it computes what was measured.

    Args:
        runs: folder that it goes into.
        name: of the run, if it is free.
        material: what the stages gave.
        cost: of the run so far.
        pages: what is written by later stages.

    Returns:
        The folder.

    Raises:
        IntegrityError: the finished model gives other values.
    """
    indices = material.audit.usable[golden_indices(material)].tolist()
    examples = [material.dataset.examples[i] for i in indices]
    check_unchanged(examples, [material.features.digests[i] for i in indices])
    inputs = decode_examples(material.base.reader(), examples)
    result = material.result
    check_room(runs, sum(file.stat().st_size for file in result.folder.iterdir()), f"the files of the run {name}")

    def fill(folder: Path, final_name: str) -> None:
        shutil.copyfile(result.folder / "model.keras", folder / "model.keras")
        if result.xml:
            (folder / "engine").mkdir()
            for path in (result.xml, result.xml.with_suffix(".bin")):
                shutil.copyfile(path, folder / "engine" / path.name)
        expected = open_detector(result, material.precision)(inputs)
        np.savez(folder / "golden.npz", inputs=inputs, probabilities=expected)
        facts = _facts(material, final_name).replace(golden=GoldenFacts(count=len(inputs)))
        write_facts(folder, facts.replace(cost=cost_facts(cost, material.features)))
        finished = Predictor(folder, expected=1)  # replays the golden samples through the finished model
        difference = check_golden(folder, finished.values(inputs), expected, material.precision)
        write_tables(folder, material)
        write_figures(folder, figures_of(material.figures, material.headline, material.leak_free))
        golden = GoldenFacts(count=len(inputs), difference=difference)
        write_facts(folder, facts.replace(golden=golden, cost=cost_facts(cost, material.features)))
        pages.report(folder)

    return write_folder(runs, name, fill)


def _facts(material: DetectorMaterial, name: str) -> RunFacts:
    result = material.result
    of_training = {field: result.facts[field] for field in DetectorFacts.field_types if field in result.facts}
    return common_facts(
        material,
        name=name,
        base=base_facts(result.base, sum(level.size for level in result.maps)),
        engine=engine_facts(
            material.precision, by_openvino=result.xml is not None, difference=result.facts["difference"]
        ),
        seed=material.config["seed"],
        detector=decode(DetectorFacts, {**of_training, "maps": [asdict(level) for level in result.maps]}),
        freeze_proof=decode(FreezeProofFacts, asdict(result.proof)),
    )
