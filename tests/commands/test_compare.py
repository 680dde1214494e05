"""Choosing a base: ``hs.compare``, ``headstart compare`` and ``--base auto``."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import headstart as hs
from headstart.cli.compare import compare as command
from headstart.errors import InputError
from headstart.tasks import get_task
from tests.conftest import WORDS

pytestmark = pytest.mark.slow

FILES = Path(__file__).parents[1] / "files/transformers"
BERT = f"hf:{FILES / 'bert'}"
RANDOM = [BERT, f"hf:{FILES / 'electra'}", f"hf:{FILES / 'distilbert'}"]
"""Tiny encoders that were never trained: hardly better than guessing, and fast."""


@pytest.fixture(scope="module")
def found(sentences: Path) -> hs.BaseComparison:
    strange = ["hf:nowhere/model", "embedded:efficientnet-lite0"]
    return hs.compare(sentences, bases=[*RANDOM, WORDS, *strange], examples=100, label_column="label")


def test_the_better_base_wins_and_the_others_are_no_accident(found: hs.BaseComparison) -> None:
    assert found.best == WORDS
    assert found.rounds == [10, 100]  # after the first, too few were left for another cut
    first, *others = found.rows
    assert first.handle == WORDS
    assert first.figure["low"] < first.figure["value"] < first.figure["high"]
    assert first.figure["value"] > 0.7
    assert {row.handle for row in others} == set(RANDOM)
    assert all(row.is_worse for row in others if row.finished)
    assert found.caveats() == []
    assert found.verdict().startswith(f"best: {WORDS}, accuracy ")


def test_a_base_is_eliminated_only_if_a_better_one_is_as_fast(found: hs.BaseComparison) -> None:
    assert 3 <= len(found.finalists) <= 4
    for row in found.rows:
        assert row.finished == (row.examples == 100)
        if not row.finished:
            assert found.status(row) == "eliminated"
            assert any(row.ms >= other.ms for other in found.finalists)
    front = sorted((row for row in found.finalists if row.on_front), key=lambda row: row.ms)
    assert front[-1].handle == WORDS
    scores = [row.score(get_task(found.task).deciding) for row in front]
    assert scores == sorted(scores)


def test_bases_that_cannot_be_used_are_named_and_stop_nothing(found: hs.BaseComparison) -> None:
    reasons = {one.handle: one.reason for one in found.left_out}
    assert "cannot be downloaded" in reasons["hf:nowhere/model"]
    assert reasons["embedded:efficientnet-lite0"] == "it is a base for images"
    assert len(reasons) == 2


def test_the_page_and_the_json_hold_everything(found: hs.BaseComparison, tmp_path: Path) -> None:
    page = found.report(tmp_path / "bases.html").read_text(encoding="utf-8")
    assert "The line is the Pareto front" in page
    assert "it is a base for images" in page
    assert page.count("<circle") == len(found.finalists)
    assert found.command() in page.replace("&#39;", "'")
    value = json.loads(json.dumps(found.to_json()))
    assert [row["handle"] for row in value["rows"]] == [row.handle for row in found.rows]
    assert value["command"] == f"headstart train {found.source} --base {WORDS} --label-column label"
    with pytest.raises(InputError, match=r"bases\.txt: expected the name of a \.html file"):
        found.report("bases.txt")


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [*map(str, arguments)], catch_exceptions=False)


def test_the_command_gives_the_same_and_computes_nothing_anew(found: hs.BaseComparison, sentences: Path) -> None:
    done = _run(sentences, "--bases", f"{WORDS},{RANDOM[0]}", "--examples", 100, "--json")
    value = json.loads(done.stdout)
    of_words = next(row for row in value["rows"] if row["handle"] == WORDS)
    assert of_words["figure"] == found.rows[0].figure
    assert value["rounds"] == [100]  # so few bases need no cut
    lines = _run(sentences, "--bases", WORDS, "--examples", 100, "--min-accuracy", 99.9).stdout.splitlines()
    assert lines[0].split()[:2] == ["base", "accuracy"]
    assert lines[-2].startswith(f"none reaches 99.9%; best: {WORDS}")
    assert lines[-1] == f"train  headstart train {sentences} --base {WORDS}"


def test_the_fastest_that_is_good_enough_is_the_best_where_that_is_asked_for(sentences: Path) -> None:
    chosen = hs.compare(sentences, bases=[WORDS, BERT], examples=100, min_accuracy=0.05)
    assert chosen.best_row.ms == min(row.ms for row in chosen.rows)
    assert chosen.verdict().startswith(f"fastest with 5.0%: {chosen.best}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_mb": 0.001}, r"no base under 0\.001 MB can be compared:\n  embedded:glove-6b-50d \([\d.]+ MB\): more"),
        ({"max_ms": 1e-6}, r" ms\): more than 1e-06 ms"),
        ({"max_ms": -1}, r"max_ms: expected a number above 0"),
        ({"min_accuracy": 90}, r"min_accuracy: expected a share"),
        ({"examples": 0}, r"examples: expected at least 1"),
        ({"bases": ""}, r"bases: it is empty: expected here, all, or handles"),
        ({"bases": "her"}, r"'her' is not a base handle"),
        ({"bases": ["keras:Xception"]}, r"keras:Xception: not on this machine and cannot be downloaded"),
    ],
)
def test_what_cannot_be_met_is_said(sentences: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        hs.compare(sentences, **{"bases": [WORDS], **options})


def test_percent_are_meant_on_the_command_line(sentences: Path) -> None:
    with pytest.raises(InputError, match=r"--min-accuracy 0\.9 looks like a fraction: expected percent"):
        _run(sentences, "--min-accuracy", 0.9)


def test_training_takes_the_best_and_says_why(sentences: Path, tmp_path: Path) -> None:
    run = hs.train(sentences, base="auto", bases=[BERT, WORDS], max_mb=1000, fine_tune="none", runs=tmp_path)
    assert run.facts.base.handle == run.facts.config["base"] == WORDS
    assert {row.handle for row in run.facts.choice.candidates} == {WORDS, BERT}
    assert run.facts.choice.verdict.startswith(f"best under 1000 MB: {WORDS}")
    assert run.facts.choice.verdict in (run.folder / "report.html").read_text(encoding="utf-8")
    assert "choice of the base" in [stage.stage for stage in run.facts.cost.stages]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_ms": 5}, "max_ms: it is for a choice among several bases: set base='auto'"),
        ({"base": "auto", "feature_layer": "top"}, "feature_layer: it is for one base: name that with base"),
        ({"base": "auto", "weights": "none"}, "weights: it is for one base"),
    ],
)
def test_options_that_do_not_go_together_are_refused(sentences: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        hs.train(sentences, **options)
