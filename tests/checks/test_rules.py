"""The list of rules, their page and the command."""

import ast
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from headstart.checks.rules.catalog import RULES
from headstart.checks.rules.page import format_page
from headstart.cli.main import cli

SCRIPT_WITH_ERROR = "from keras import layers, Sequential\nSequential([layers.Dense(1, 'softmax')]).compile()\n"
SCRIPT_WITH_WARNING = (
    "from keras import applications, layers, Sequential\n"
    "Sequential([applications.EfficientNetB0(include_top=False, input_shape=(32, 32, 3))])\n"
)


@pytest.fixture
def command(tmp_path: Path):
    def run(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(cli, ["check", *map(str, arguments)], standalone_mode=False)
        return result.return_value if result.exception is None else result.exception, result.stdout

    return run


def test_codes_and_names_are_unique_and_examples_are_python() -> None:
    assert len({rule.code for rule in RULES}) == len({rule.name for rule in RULES}) == len(RULES)
    assert [rule.code for rule in RULES] == sorted(rule.code for rule in RULES)
    for rule in RULES:
        ast.parse(rule.example)
        assert re.fullmatch(r"HS1\d\d", rule.code)
        assert rule.found_in in (("scripts",), ("scripts", "models"))


def test_the_page_is_current() -> None:
    root = Path(__file__).parent.parent.parent
    assert (root / "docs/checks.md").read_text(encoding="utf-8") == format_page()
    for document in ("docs/guide.md", "docs/tutorials/keras.md", "CHANGELOG.md"):
        assert re.search(rf"\b{len(RULES)} (common )?mistakes", (root / document).read_text(encoding="utf-8")), document


def test_output_of_the_command(command, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT_WITH_ERROR)
    status, output = command(script)
    assert status == 2
    assert output.splitlines()[0] == f"{script}:2: error HS126 one-unit-softmax"
    assert "fix: Use Dense(1) with sigmoid" in output
    status, output = command(script, "--json", "--fail-on", "never")
    assert status == 0
    assert [(finding["code"], finding["severity"], finding["line"]) for finding in json.loads(output)] == [
        ("HS126", "error", 2)
    ]


def test_exit_code_by_severity(command, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT_WITH_WARNING)
    assert [command(script, "--fail-on", level)[0] for level in ("error", "warning", "never")] == [0, 2, 0]
    script.write_text("import keras\nkeras.Input((8,))")
    assert command(script, "--fail-on", "warning") == (0, "no findings\n")


def test_a_script_without_keras_training_has_the_exit_code_of_wrong_data(command, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import torch")
    error, output = command(script, "--fail-on", "never")
    assert (error.exit_code, output) == (2, "")
    assert str(error) == (
        f"no Keras training seen in {script}: it imports torch (PyTorch) in line 1. "
        "`headstart check` reads code for Keras 2 and 3."
    )


def test_rules_are_listed_and_explained(command) -> None:
    assert all(rule.code in command("--rules")[1] for rule in RULES)
    assert len(json.loads(command("--rules", "--json")[1])) == len(RULES)
    for name in ("HS117", "hs117", "batchnorm-not-frozen"):
        status, output = command("--explain", name)
        assert status == 0
        assert "issues/20285" in output
    assert "no rule 'batchnorm-not-froz'" in str(command("--explain", "batchnorm-not-froz")[0])
    assert "Did you mean 'batchnorm-not-frozen'?" in str(command("--explain", "batchnorm-not-froz")[0])
    assert "no files to check: name a training script" in str(command()[0])
