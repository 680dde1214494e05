"""What is written about the code is true of the code."""

import ast
import re
import runpy
import shlex
import tomllib
from importlib.metadata import version
from pathlib import Path

import click
import pytest

import headstart as hs
from tests.conftest import SIZE

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "headstart"
MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
STAGES = ["bases", "data", "features", "training", "evaluation"]


def test_every_public_name_can_be_imported_and_is_documented() -> None:
    assert sorted(hs.__all__) == sorted(dir(hs))
    for name in hs.__all__:
        assert getattr(hs, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        hs.trian  # noqa: B018


def test_version_is_one() -> None:
    assert hs.__version__ == version("headstart")
    assert f'version = "{hs.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"\nversion: {hs.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert released[:1] in ([], [hs.__version__])


@pytest.mark.parametrize("number", range(len(STAGES)))
def test_every_stage_says_which_it_is_and_what_follows(number: int) -> None:
    name = STAGES[number]
    docstring = ast.get_docstring(ast.parse((SOURCE / name / "__init__.py").read_text(encoding="utf-8")))
    assert docstring
    following = [*STAGES, "runs"][number + 1]
    assert re.match(rf"Stage {number + 1} of 7, {name}: takes .* gives .*; next: {following}\.", docstring)
    assert f"| {number + 1} {name} | `{name}/` |" in (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def test_the_reference_of_settings_and_their_keywords_are_current() -> None:
    written = runpy.run_path(str(ROOT / "docs/write_settings.py"))
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == written["page"](), "run `make fix`"
    keywords = ast.parse((SOURCE / "config/keywords.py").read_text(encoding="utf-8"))
    assert ast.dump(keywords) == ast.dump(ast.parse(written["keywords"]())), "run `make fix`"


def test_the_architecture_has_the_order_of_imports_that_is_tested() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = [layer.strip("()") for layer in settings["tool"]["importlinter"]["contracts"][0]["layers"]]
    order = " > ".join(layer.replace(" | ", ", ") for layer in layers if "|" in layer or list(SOURCE.glob(f"{layer}*")))
    assert order in " ".join((ROOT / "docs/architecture.md").read_text(encoding="utf-8").split())


def test_every_module_has_a_docstring_and_stands_on_the_map() -> None:
    page = runpy.run_path(str(ROOT / "docs/write_map.py"))["page"]
    assert (ROOT / "docs/map.md").read_text(encoding="utf-8") == page(), "docs/map.md is out of date: run `make fix`"
    for module in MODULES:
        assert ast.get_docstring(ast.parse((SOURCE / module).read_text(encoding="utf-8"))), module


def test_documents_name_only_files_that_exist() -> None:
    for document in (ROOT / "CONTRIBUTING.md", ROOT / "docs/architecture.md"):
        for name in re.findall(r"`((?:\w+/)*\w+\.py)`", document.read_text(encoding="utf-8")):
            exists = any((folder / name).is_file() for folder in (SOURCE, ROOT))
            assert exists or name == "bases/zoo.py", f"{document.name}: {name}"  # the zoo is an example
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_command_is_in_the_readme_and_has_a_section_of_the_guide() -> None:
    from headstart.cli.main import COMMANDS

    readme, guide = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/guide.md"))
    assert [name for name in COMMANDS if not re.search(rf"`(headstart )?{name}`", readme)] == []
    assert sorted(re.findall(r"^## headstart (\w+)$", guide, re.MULTILINE)) == sorted(COMMANDS)


def test_the_readme_is_short_and_names_the_two_commands_of_a_new_machine() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 800
    targets = re.findall(r"^(\w[\w-]*):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"demo", "test"} <= set(re.findall(r"\bmake (\w[\w-]*)\b", text)) <= set(targets)


def test_commands_in_all_documents_have_the_options_that_are_given() -> None:
    """Those that the tutorials tell to run are run, in test_tutorials.py."""
    from headstart.cli.main import COMMANDS, cli

    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for line in re.findall(r"^    headstart (.+)$", text, re.MULTILINE):
            name, *arguments = shlex.split(line, comments=True)
            assert name in COMMANDS, f"{document.name}: headstart {line}"
            command = cli.get_command(click.Context(cli), name)
            assert command is not None
            try:
                command.make_parser(click.Context(command)).parse_args(arguments)
            except click.UsageError as exc:
                pytest.fail(f"{document.name}: headstart {line}: {exc.message}")


def test_the_reference_lists_every_public_name() -> None:
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: headstart\.(\w+)$", text, re.MULTILINE)) == sorted({*hs.__all__} - {"__version__"})


@pytest.mark.slow
def test_the_python_of_the_guide_works(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks are run as they stand, but on the base that needs no download, and on small images."""
    text = (ROOT / "docs/guide.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(photos)
    for name in ("cat.jpg", "dog.jpg"):
        (tmp_path / name).write_bytes((photos / "china/00.jpg").read_bytes())
    names: dict[str, object] = {}
    for block in blocks:
        block = block.replace('base="keras:Xception"', f'base="embedded:efficientnet-lite0", input_size={SIZE}')
        exec(block.replace("input_size=160", f"input_size={SIZE}"), names)
    assert len(names["X"]) == len(names["y"]) == 110
