"""The rules as a table, their page and the command."""

import ast
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from headstart.checks.rules import RULES, page
from headstart.cli.main import cli

WRONG = "from keras import layers, Sequential\nSequential([layers.Dense(1, 'softmax')]).compile()\n"
SMALL = (
    "from keras import applications, layers, Sequential\n"
    "Sequential([applications.EfficientNetB0(include_top=False, input_shape=(32, 32, 3))])\n"
)


@pytest.fixture
def command(tmp_path: Path):
    def run(*arguments: object) -> tuple[int, str]:
        done = CliRunner().invoke(cli, ["check", *map(str, arguments)], standalone_mode=False)
        return done.return_value if done.exception is None else done.exception, done.stdout

    return run


def test_codes_and_names_are_unique_and_examples_are_python() -> None:
    assert len({rule.code for rule in RULES}) == len({rule.name for rule in RULES}) == len(RULES)
    assert [rule.code for rule in RULES] == sorted(rule.code for rule in RULES)
    for rule in RULES:
        ast.parse(rule.example)
        assert re.fullmatch(r"HS1\d\d", rule.code)
        assert {rule.found_in} <= {"scripts", "models", "scripts and models"}


def test_the_page_is_that_of_the_rules() -> None:
    root = Path(__file__).parent.parent.parent
    assert (root / "docs/checks.md").read_text(encoding="utf-8") == page()
    for document in ("README.md", "CHANGELOG.md"):
        assert f"{len(RULES)} mistakes" in (root / document).read_text(encoding="utf-8")


def test_what_the_command_prints(command, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(WRONG)
    status, printed = command(script)
    assert status == 2
    assert printed.splitlines()[0] == f"{script}:2: error HS126 one-unit-softmax"
    assert "fix: Dense(1) with sigmoid" in printed
    status, printed = command(script, "--json", "--fail-on", "never")
    assert status == 0
    assert [(one["code"], one["severity"], one["line"]) for one in json.loads(printed)] == [("HS126", "error", 2)]


def test_from_which_severity_on_it_fails(command, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SMALL)
    assert [command(script, "--fail-on", level)[0] for level in ("error", "warning", "never")] == [0, 2, 0]
    script.write_text("x = 1")
    assert command(script, "--fail-on", "warning") == (0, "nothing found\n")


def test_rules_are_listed_and_explained(command) -> None:
    assert all(rule.code in command("--rules")[1] for rule in RULES)
    assert len(json.loads(command("--rules", "--json")[1])) == len(RULES)
    for name in ("HS117", "hs117", "frozen-in-name-only"):
        status, printed = command("--explain", name)
        assert status == 0
        assert "issues/20285" in printed
    assert "no rule 'frozen-in-nam'" in str(command("--explain", "frozen-in-nam")[0])
    assert "Did you mean 'frozen-in-name-only'?" in str(command("--explain", "frozen-in-nam")[0])
    assert "nothing to check: name a training script" in str(command()[0])
