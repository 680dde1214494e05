"""One word for one thing, and plain English: no text of the code or the docs uses a word that was replaced."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from headstart.cli.main import COMMANDS, cli

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "headstart"
SUFFIXES = {".py", ".j2", ".md", ".js", ".css", ".toml"}

REPLACED = {
    r"pictures?|photographs?|photo": "image",
    r"squash": "resize stretch",
    r"(un)?familiarity|unfamiliar": "out-of-distribution",
    r"mend(s|ed|ing)?": "correct, fix; fixed / regressed",
    r"in doubt": "looks wrong; label issue",
    r"division|(one|both|two) sides? of (a|the) (split|division)|their side of": "split",
    r"beyond luck|more than luck": "significant",
    r"flattere?s?|flattered": "optimistic",
    r"no say": "not used for the decision",
    r"left the race|the race": "eliminated",
    r"words[-_ ]by": "segmenter",
    r"asked for|were asked": "required, set",
    r"for want of": "missing",
    r"whoever|wherever|all else|meanwhile|goes on|taken for|is said": "a plain word",
    r"whatever|likewise|lest|anew|there is none|put right|the usual one": "a plain word",
}
"""Pattern of a replaced word -> what is used in its place. ``photos`` remains: examples of data have that name."""

ALLOWED = {
    ("data/table_columns.py", "photo"),  # a name of columns in the tables of users
    ("data/split_names.py", "pictures"),  # words in the names of folders of users
    ("data/split_names.py", "photos"),
    ("config/format_1.py", "squash"),  # values and keys of older run folders
    ("runs/migrations.py", "familiarity"),
    ("runs/migrations.py", "unfamiliar"),
    ("runs/migrations.py", "mended"),
    ("runs/migrations.py", "words_by"),
    ("config/format_1.py", "words_by"),
}
"""File and word that may stand there."""

EVERYDAY_WORDS = {
    "told", "kept", "asked", "given", "found", "said", "taken", "wanted", "shown", "there", "here", "others", "one",
    "mine", "usual", "everything", "alike", "both", "known", "chosen", "drawn", "gone", "seen", "looks", "what", "who",
    "needed", "listed", "again", "good", "bad", "held", "named", "every", "each", "followed", "meant", "brought",
    "went", "got",
}  # fmt: skip
"""Words that name nothing when they stand alone."""

GENERATED = ("docs/map.md",)
"""Files whose texts come from other files: the map is made from docstrings."""


@cache
def texts() -> list[tuple[str, str]]:
    """Name and content of every file with texts for people."""
    named_texts = []
    files = [*SOURCE.rglob("*"), *ROOT.glob("docs/**/*"), *ROOT.glob("examples/*"), *ROOT.glob("*.md")]
    for file in files:
        name = file.relative_to(SOURCE if file.is_relative_to(SOURCE) else ROOT).as_posix()
        if file.suffix in SUFFIXES and name != "CHANGELOG.md" and not name.startswith(GENERATED):
            named_texts.append((name, file.read_text(encoding="utf-8")))
    return named_texts


@cache
def nodes_of(file: Path) -> list[ast.AST]:
    """The syntax tree of a module, node by node."""
    return list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("pattern", REPLACED)
def test_replaced_words_are_gone(pattern: str) -> None:
    word = re.compile(rf"\b({pattern})\b", re.IGNORECASE)
    hits = [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts()
        if word.search(text)
        for number, line in enumerate(text.splitlines(), 1)
        for match in word.finditer(line)
        if (name, match[0].lower()) not in ALLOWED
    ]
    assert hits == [], f"write instead: {REPLACED[pattern]}"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_80_columns_and_has_no_replaced_word(name: str) -> None:
    text = CliRunner().invoke(cli, [name, "--help"], terminal_width=80).output
    assert text.startswith("Usage: ")
    assert max(map(len, text.splitlines())) <= 80
    for pattern in REPLACED:
        assert re.search(rf"\b({pattern})\b", text, re.IGNORECASE) is None


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert [option.name for option in command.params if isinstance(option, click.Option) and not option.help] == []


def message_texts(file: Path) -> Iterator[str]:
    """All texts in a module except docstrings; f-strings with ``{}`` for values."""
    nodes = nodes_of(file)
    inner = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | inner:
            yield node.value


def test_only_the_command_line_spells_options() -> None:
    """Other modules mark settings with ``field_name``; each front end spells them. Commands in code spans may stand."""
    hits = []
    options_of_pip = "--no-deps {}"
    for file in SOURCE.rglob("*.py"):
        name = file.relative_to(SOURCE).as_posix()
        if name.startswith(("cli/", "checks/rules/page.py")):  # the last one writes a page of the docs
            continue
        for text in message_texts(file):
            without_commands = re.sub(r"`[^`]*`", "", text)
            if (
                " " in text.strip()
                and text != options_of_pip
                and re.search(r"(?<![\w-])--[a-z][a-z-]+", without_commands)
            ):
                hits.append(f"{name}: {text}")
    assert hits == []


def names_in(file: Path) -> Iterator[tuple[str, int]]:
    """Every name that a module defines or uses, attributes of other objects apart, with its line."""
    for node in nodes_of(file):
        is_own_attribute = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        name = node.attr if is_own_attribute else getattr(node, "id", getattr(node, "arg", getattr(node, "name", None)))
        if name:
            yield name.strip("_"), getattr(node, "lineno", 0)


def test_names_say_what_they_name() -> None:
    """A name is a noun phrase, a verb phrase or a predicate, never a bare participle or an everyday word."""
    hits = []
    for file in SOURCE.rglob("*.py"):
        names = list(names_in(file))
        has_sides = "right" in {name for name, _ in names}  # then `left` is no participle
        words = EVERYDAY_WORDS if has_sides else EVERYDAY_WORDS | {"left"}
        hits += [f"{file.relative_to(SOURCE)}:{line}: {name}" for name, line in names if name in words]
    assert hits == []


QUESTIONS = re.compile(
    r"texts is (not )?None|== ['\"](image|text)['\"]|['\"](image|text)['\"] =="
    r"|modality is (not )?(IMAGE|TEXT)|modality [!=]= (IMAGE|TEXT)"
    r"|isinstance\([^()]*\b(ImageBase|TextBase|Decoder|FileExample|TextExample|Image|Text)\b"
)
"""Ways to ask whether data or a base are images or texts."""

OLD_FILES = 'if base["modality"] == "image":'
"""The one line that may: run folders of the first format recorded nothing else."""


def test_only_modalities_know_which_modality_data_have() -> None:
    """Other rooms ask a modality or a base for what differs, so that an added modality needs no edits in them."""
    hits = [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts()
        if (SOURCE / name).is_file() and not name.startswith("data/modalities/")
        for number, line in enumerate(text.splitlines(), 1)
        if QUESTIONS.search(line) and (name, line.strip()) != ("runs/migrations.py", OLD_FILES)
    ]
    assert hits == []
