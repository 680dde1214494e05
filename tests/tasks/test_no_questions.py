"""Nothing outside ``tasks/`` asks which kind of label a run has: it uses what the task says."""

import re
from pathlib import Path

import pytest

import headstart

SOURCE = Path(headstart.__file__).parent

QUESTIONS = {
    "whether classes exclude each other": r"\b(is_)?exclusive\b",
    "the name of the task": r"task(\.name)? *[!=]=|[\"']((single|multi)-label|detection)[\"']",
    "the class of the task": r"isinstance\([^)]*\b(SingleLabel|MultiLabel|Detection|ClassificationTask|Task)\b",
    "the form of the answer": r"isinstance\([^)]*(predicted|Prediction|Detections)\b|getattr\([^)]*\bunsure",
    "the shape of the labels": r"labels\.(ndim|shape\[1\])|isinstance\(label, (list|str|Boxes|BoxLabels)\)",
    "the metrics of the task": r"[\"'](accuracy|mean_average_precision|average_precision)[\"'] in\b",
    "the separator of labels": r"\bSEPARATOR\b",
    "a module of one task": (
        r"(from|import) headstart\.tasks\.(single_label|multi_label|detection\.(task|metrics|cells|answers|table))"
        r"|headstart\.tasks\.detection import .*\bDetection\b"
    ),
}
"""What is asked -> the pattern of the question."""

ALLOWED = {
    ("runs/migrations.py", "the name of the task"),  # older runs do not record it
    ("runs/migrations.py", "the metrics of the task"),
    ("commands/adopt.py", "a module of one task"),  # the task of the run that is made, not a question
    ("commands/adopt_detector.py", "a module of one task"),
    ("evaluation/calibration.py", "a module of one task"),  # a figure of confidence
    ("training/detection/trainer.py", "a module of one task"),  # it trains for this task alone
    ("runs/tables.py", "the shape of the labels"),  # labels as tables have them
    ("data/dataset.py", "the shape of the labels"),
}
"""File and question that may stand there."""


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_file_asks_for_the_kind_of_label(question: str) -> None:
    pattern = re.compile(QUESTIONS[question])
    files = [path for path in SOURCE.rglob("*") if path.suffix in (".py", ".j2", ".js")]
    hits = [
        f"{name}:{number}: {line.strip()}"
        for path in files
        if not (name := path.relative_to(SOURCE).as_posix()).startswith("tasks/") and (name, question) not in ALLOWED
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert len(files) > 200
    assert hits == []


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("whether classes exclude each other", "if task.is_exclusive:"),
        ("whether classes exclude each other", "{% if not exclusive %}"),
        ("the name of the task", "if facts.task == 'multi-label':"),
        ("the name of the task", 'is_multi = task.name != "single-label"'),
        ("the name of the task", "if facts.task in ('detection',):"),
        ("the class of the task", "isinstance(task, MultiLabel)"),
        ("the class of the task", "isinstance(dataset.task, ClassificationTask)"),
        ("the form of the answer", "isinstance(output, Detections)"),
        ("the shape of the labels", "isinstance(label, BoxLabels)"),
        ("a module of one task", "from headstart.tasks.detection import Boxes, Detection"),
        ("the form of the answer", "[answer.predicted] if isinstance(answer.predicted, str) else answer.predicted"),
        ("the shape of the labels", "if data.labels.ndim == 2:"),
        ("the metrics of the task", 'if "accuracy" in figures:'),
    ],
)
def test_questions_are_recognised(question: str, line: str) -> None:
    assert re.search(QUESTIONS[question], line)
