"""Examples that a run stores itself, as they come from no single folder or table: ``examples.jsonl``.

It is an ordinary table with one line for each example: ``path`` or ``text``, ``label``, ``split``, and ``group`` if
there are groups. Examples that cannot be used are in it without a label: so texts have the same numbers as in the
run.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from headstart.data.dataset import Dataset
from headstart.data.modalities import Modality
from headstart.tasks import Task

EXAMPLES = "examples.jsonl"
"""File in the run; and what ``data.path`` in ``run.json`` says of data that are in it."""


def write_examples(folder: Path, dataset: Dataset, splits: Sequence[str]) -> None:
    """Write the examples of a run into its folder.

    Args:
        folder: of the run.
        dataset: the examples.
        splits: train, val or test of each, empty where it cannot be used.
    """
    with open(folder / EXAMPLES, "w", encoding="utf-8") as file:
        for i, label in enumerate(dataset.labels):
            row = {
                **dict([dataset.examples[i].cell()]),
                "label": dataset.task.to_json(label, dataset.classes) if splits[i] else "",
                "split": splits[i],
                **({"group": dataset.groups[i]} if dataset.groups else {}),
            }
            file.write(json.dumps(row) + "\n")


def read_examples(folder: Path, classes: Sequence[str], task: Task, modality: Modality) -> Dataset:
    """The examples of a run with their splits, from its folder.

    Args:
        folder: of the run.
        classes: its classes, in order.
        task: what it predicts.
        modality: what its examples are.
    """
    path = folder / EXAMPLES
    with open(path, encoding="utf-8") as file:
        rows = {number: row for number, line in enumerate(file, 1) if (row := json.loads(line))["split"]}
    first = next(iter(rows.values()))
    files = [row.get("path") or f"row {number}" for number, row in rows.items()]
    return Dataset(
        source=str(path),
        root=folder.absolute(),
        files=files,
        classes=list(classes),
        labels=task.encode([task.from_json(row["label"]) for row in rows.values()], classes),
        task=task,
        given_splits=[row["split"] for row in rows.values()],
        groups=[row["group"] for row in rows.values()] if "group" in first else None,
        modality=modality,
        examples=[
            modality.example_in(folder, file, row.get("text", ""))
            for file, row in zip(files, rows.values(), strict=True)
        ],
    )
