"""A task that is added from outside the package: ordinal labels, where the neighbouring class is nearly right.

It trains, evaluates, reports, predicts, explains and serves without a change in headstart. What a new kind of label
costs is this file.
"""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

import headstart as hs
from headstart.cli.main import cli
from headstart.errors import InputError, IntegrityError
from headstart.exporting.export import verify
from headstart.exporting.formats import FORMATS
from headstart.exporting.sample import draw_sample
from headstart.runs.files import read_figures
from headstart.runs.predictor import Predictor
from headstart.tasks import Metric, ReportSection, Wording, get_task, register_task, unregister_task
from headstart.tasks.answers import Decision, Prediction
from headstart.tasks.comparison import Comparison
from headstart.tasks.single_label import SingleLabel
from headstart.tasks.statistics import wilson
from headstart.ui.app import build
from headstart.ui.root_folder import RootFolder
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


class Steps(Ordinal):
    """The same labels, judged by the number of steps; all that a task may answer, it answers in its own way."""

    name = "steps"
    metrics = (Metric("mean_steps", "Mean steps", "steps off, 0 is best", higher_is_better=False), *Ordinal.metrics)
    deciding_metric = "mean_steps"
    wording = Wording(
        class_noun="rating",
        class_plural="ratings",
        labels_of_example="a rating",
        among="rated with",
        membership="are rated",
        cell_form="a rating",
        correction_form="the rating by two persons",
        columns_advice="name the column of ratings",
        explained="the likeliest rating",
        issue_counts="ratings of {count} of {examined}",
        examined="{noun}",
        imbalance_advice="look at the mean steps",
        class_figures="The {noun}s of a rating should be few steps off.",
    )
    class_figures = ("steps",)
    class_metrics = (Metric("steps", "steps off", "of the rating"),)
    allows_new_classes = False
    imbalance_ratio = 1.01
    predicts_most_probable = False
    no_confidence_reason = "The middle rating is predicted."
    has_learning_curve = False
    has_label_probability = False
    relabel_control = "tick several"
    openvino_info: ClassVar[Mapping[str, str]] = {"model_type": "Ordinal"}

    def decide(self, probabilities: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
        return (probabilities.cumsum(1) < 0.5).sum(1).clip(max=probabilities.shape[1] - 1)

    def answer(self, name: str, probabilities: np.ndarray, decision: Decision, top_k: int | None) -> Prediction:
        found = super().answer(name, probabilities, decision, top_k)
        number = int(self.decide(probabilities[np.newaxis], None)[0])
        return replace(found, predicted=decision.classes[number], probability=float(probabilities[number]))

    def evaluate(
        self, labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], *args: Any, **options: Any
    ) -> dict[str, Any]:
        figures = super().evaluate(labels, probabilities, classes, *args, **options)
        steps = np.abs(self.decide(probabilities, None) - labels)
        for number, name in enumerate(classes):
            mean = float(steps[labels == number].mean()) if (labels == number).any() else None
            figures["per_class"][name]["steps"] = {"value": mean, "low": mean, "high": mean}
        mean = float(steps.mean())
        return {**figures, "mean_steps": {"value": mean, "low": mean / 2, "high": mean * 2}}

    def describe(self, figures: Mapping[str, Any], n_classes: int, examples: str) -> str:
        return f"mean steps {self.metrics[0].format(figures['mean_steps'])} on {examples}"

    def class_remark(self, figures: Mapping[str, Any]) -> str:
        return "rated often" if figures["support"] > 1 else ""

    def confusions(self, labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return np.where(np.abs(predicted - labels) > 1, predicted, -1)

    def compare(self, labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0) -> Comparison:
        steps = [np.abs(self.decide(probabilities, None) - labels) for probabilities in (first, second)]
        difference = float((steps[1] - steps[0]).mean())
        both = super().compare(labels, first, second, seed=seed)
        return Comparison(
            examples=len(labels), metric="mean_steps", value=(float(steps[0].mean()), float(steps[1].mean())),
            value_gain=(difference - 0.01, difference + 0.01), log_loss=both.log_loss, loss_gain=both.loss_gain,
            higher_is_better=False,
        )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def added() -> Iterator[None]:
    register_task(Ordinal())
    register_task(Steps())
    yield
    unregister_task(Ordinal.name)
    unregister_task(Steps.name)


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


@pytest.fixture(scope="module")
def stepped(ratings: Path, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    root = tmp_path_factory.mktemp("stepped")
    shutil.copy(ratings, root / "ratings.csv")
    return hs.train(root / "ratings.csv", task="steps", base=WORDS, fine_tune="none", runs=root / "runs")


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


def test_the_report_uses_the_words_and_figures_of_the_task(stepped: hs.Run) -> None:
    page = stepped.report().read_text(encoding="utf-8")
    text = " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).split())
    for part in (
        "Rating by rating",
        "The texts of a rating should be few steps off.",
        "steps off",
        "rated often",
        "Mean steps",
        "3 ratings",
    ):
        assert part in text
    assert re.search(r"Ratings of \d+ of \d+ texts look wrong", text)
    assert "class by class" not in text.lower()


def test_what_the_task_has_not_is_not_computed(stepped: hs.Run, rated: hs.Run) -> None:
    assert rated.facts.learning_curve is not None
    assert rated.facts.selective_prediction is not None
    assert (stepped.facts.learning_curve, stepped.facts.selective_prediction) == (None, None)
    assert stepped.facts.calibration is not None
    assert stepped.facts.calibration.reason == "The middle rating is predicted."
    with pytest.raises(InputError, match=r"steps run\. The middle rating is predicted\."):
        stepped.predict("a text", min_confidence=0.8)


def test_figures_of_classes_that_only_the_task_knows_are_read_again(stepped: hs.Run) -> None:
    figures = read_figures(stepped.folder, stepped.facts)
    headline = figures.headline_figures
    assert headline is not None
    assert 0 <= headline.of_task()["per_class"]["2"]["steps"]["value"] <= 2


def test_the_terminal_marks_what_is_predicted(stepped: hs.Run) -> None:
    result = CliRunner().invoke(cli, ["predict", str(stepped.folder), "-", "--top-k", "3"], input="a short text\n")
    predicted = stepped.predict("a short text").predicted
    assert f"{predicted}*" in result.output
    assert result.output.count("*") == 1


def test_the_page_lets_several_ratings_be_ticked(stepped: hs.Run) -> None:
    with TestClient(
        build(RootFolder(stepped.folder.parent.parent), max_upload_mb=1), base_url="http://127.0.0.1"
    ) as client:
        data = client.get("/data", params={"path": "ratings.csv", "task": "steps"}).text
        run = client.get(f"/runs/{stepped.name}").text
    assert "rated with 3 ratings" in data
    assert "A few texts of each rating." in data
    assert 'name="min_precision"' not in data
    assert 'name="verdict-0" value="ticked"' in run
    assert 'type="radio" form="relabel"' not in run


def test_the_table_of_an_audit_is_read_again_as_it_was(ratings: Path, tmp_path: Path) -> None:
    table = tmp_path / "fixed.csv"
    result = CliRunner().invoke(cli, ["audit", str(ratings), "--task", "steps", "--base", WORDS, "--fix", str(table)])
    assert f"headstart train {table} --task steps" in " ".join(result.output.split())
    assert hs.load_dataset(table, task="steps").task is get_task("steps")
    assert "look at the mean steps" in " ".join(result.output.split())


def test_other_data_and_new_classes_are_refused_in_the_words_of_the_task(
    stepped: hs.Run, ratings: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"predicts a rating \(steps\), but .* one class for each example \(ordinal\)"):
        hs.evaluate(stepped.folder, ratings, task="ordinal")
    more = tmp_path / "more.csv"
    more.write_text("text,label\nA text like no other one,4\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"has ratings that .* does not know: '4'"):
        hs.extend(stepped.folder, more)


def test_a_lower_figure_can_be_the_better_one(stepped: hs.Run, caplog: pytest.LogCaptureFixture) -> None:
    predictor = Predictor(stepped.folder)
    sample = draw_sample(predictor, "test")
    probabilities = np.concatenate([predictor.values(batch) for batch in sample.batches])
    n = len(sample.labels)
    right, wrong = probabilities.copy(), probabilities.copy()
    right[-n:] = np.eye(3, dtype=np.float32)[sample.labels]
    wrong[-n:] = np.eye(3, dtype=np.float32)[2 - 2 * (sample.labels == 2)]
    target = replace(FORMATS["litert:int8"], tolerance=1.0)
    better = verify(target, right, 1.0, wrong, sample, predictor)
    assert better.before is not None
    assert better.before > 0 == better.after
    assert better.gain is not None
    assert better.gain[0] > 0
    with pytest.raises(IntegrityError, match=r"mean steps rises from 0\.000 to"):
        verify(target, wrong, 1.0, right, sample, predictor)
    comparison = get_task("steps").compare(sample.labels, wrong[-n:], right[-n:])
    assert comparison.favours_second
    assert not get_task("steps").compare(sample.labels, right[-n:], wrong[-n:]).favours_second


def test_openvino_reads_what_the_task_says(stepped: hs.Run, tmp_path: Path) -> None:
    import openvino

    (made,) = hs.export(stepped.folder, "openvino", out=tmp_path)
    model = openvino.Core().read_model(str(made.model))
    assert model.get_rt_info(["model_info", "model_type"]).astype(str) == "Ordinal"
