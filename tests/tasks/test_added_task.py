"""A task that is added from outside the package: ordinal labels, where the neighbouring class is nearly right.

It trains, evaluates, reports, predicts, explains and serves without a change in headstart. What a new kind of label
costs is this file.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.errors import InputError
from headstart.tasks import Metric, ReportSection, get_task, register_task, unregister_task
from headstart.tasks.single_label import SingleLabel
from headstart.tasks.statistics import wilson
from tests.conftest import WORDS


class Ordinal(SingleLabel):
    """Classes in an order: an answer is right if it is at most one step off."""

    name = "ordinal"
    metrics = (
        Metric("within_one", "Within one step", "share at most one class off", is_share=True),
        *SingleLabel.metrics,
    )
    deciding_metric = "within_one"

    def mistakes(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        return np.abs(probabilities.argmax(1) - labels) > 1

    def scores(self, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
        return {"accuracy": float((probabilities.argmax(1) == labels).mean())}

    def evaluate(
        self, labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], *args: Any, **options: Any
    ) -> dict[str, Any]:
        figures = super().evaluate(labels, probabilities, classes, *args, **options)
        share = float(1 - self.mistakes(labels, probabilities).mean())
        low, high = wilson(share, len(labels))
        return {**figures, "within_one": {"value": share, "low": low, "high": high}}

    def describe(self, figures: Mapping[str, Any], n_classes: int, examples: str) -> str:
        return f"within one step {self.metrics[0].format(figures['within_one'])} on {examples}"

    def report_sections(self, figures: Mapping[str, Any], classes: Sequence[str]) -> list[ReportSection]:
        matrix = np.array(figures["confusion_matrix"])
        steps = np.abs(np.subtract.outer(range(len(classes)), range(len(classes))))
        rows = [[str(step), str(int(matrix[steps == step].sum()))] for step in range(len(classes))]
        return [ReportSection("How far off the answers are", header=("steps", "examples"), rows=rows)]


@pytest.fixture(scope="module", autouse=True)
def ordinal() -> Iterator[None]:
    register_task(Ordinal())
    yield
    unregister_task(Ordinal.name)


@pytest.fixture(scope="module")
def ratings(sentences: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences with a class by their number of words: 1, 2 or 3."""
    import csv

    with open(sentences, newline="", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    lengths = np.array([len(text.split()) for text in texts])
    bounds = np.quantile(lengths, [1 / 3, 2 / 3])
    table = tmp_path_factory.mktemp("data") / "ratings.csv"
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([text, 1 + int((length > bounds).sum())] for text, length in zip(texts, lengths, strict=True))
    return table


@pytest.fixture(scope="module")
def rated(ratings: Path, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    return hs.train(ratings, task="ordinal", base=WORDS, runs=tmp_path_factory.mktemp("runs"))


def test_it_trains_and_evaluates_by_its_own_metric(rated: hs.Run, ratings: Path) -> None:
    assert rated.facts.task == "ordinal"
    assert next(iter(rated.metrics)) == "within_one"
    assert rated.metrics["within_one"] >= rated.metrics["accuracy"]
    judged = hs.evaluate(rated.folder, ratings)
    assert judged.facts.task == "ordinal"
    assert next(iter(judged.metrics)) == "within_one"


def test_fine_tuning_in_another_process_needs_an_entry_point(rated: hs.Run) -> None:
    assert rated.facts.fine_tuning.outcome == "not tried"
    assert "The task ordinal is registered in this process only" in rated.facts.fine_tuning.reason


def test_its_section_is_in_the_report(rated: hs.Run) -> None:
    page = rated.report().read_text(encoding="utf-8")
    assert "How far off the answers are" in page
    assert "Within one step" in page


def test_it_predicts_and_explains(rated: hs.Run) -> None:
    answer = rated.predict("a short text")
    assert answer.predicted in ("1", "2", "3")
    assert hs.explain(rated, "a short text").answer.predicted == answer.predicted


def test_it_serves(rated: hs.Run) -> None:
    from fastapi.testclient import TestClient

    from headstart.serving.app import create_app
    from headstart.serving.limits import Limits
    from headstart.serving.runs import open_run

    app = create_app({rated.name: open_run(rated.folder)}, Limits())
    with TestClient(app) as client:
        found = client.post(f"/predict/{rated.name}", json={"texts": ["a short text"]}).json()["answers"][0]
    assert found["predicted"] in ("1", "2", "3")


def test_the_other_tasks_are_found_by_their_labels_and_names_are_checked(ratings: Path) -> None:
    assert hs.load_dataset(ratings).task is get_task("single-label")
    assert hs.load_dataset(ratings, task="ordinal").task is get_task("ordinal")
    with pytest.raises(InputError, match="task: the labels of the data do not suit the task multi-label"):
        hs.load_dataset(ratings, task="multi-label")
    with pytest.raises(InputError, match=r"task: unknown task 'ordinary': .* Did you mean 'ordinal'"):
        hs.load_dataset(ratings, task="ordinary")
