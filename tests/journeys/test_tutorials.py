"""The blocks of the README and the tutorials are run in their order, and print what stands below them."""

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"\n]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
_EXIT_CODE = re.compile(r"# exit code (\d)")
_NUMBER = re.compile(r"\d[\d.,:]*")


@pytest.mark.slow
def test_the_readme_does_what_it_says(tmp_path: Path) -> None:
    """After `make demo`, whose digits are in `build/digits`; here half of them, and smaller, which is quicker."""
    _run([sys.executable, str(ROOT / "examples/digits.py"), "build/digits"], tmp_path)
    for file in tmp_path.glob("build/digits/*/*.png"):
        if int(file.stem) > 90:
            file.unlink()
    _follow(ROOT / "README.md", tmp_path, {"headstart train": "headstart train --input-size 48"})


@pytest.mark.slow
@pytest.mark.timeout(600)  # minutes on a busy machine, and nothing of it can be shared with other tests
@pytest.mark.parametrize("pages", [("keras",), ("images", "texts", "choosing")], ids="+".join)
def test_a_tutorial_does_what_it_says(pages: tuple[str, ...], tmp_path: Path) -> None:
    """In one folder, as a reader would have it who goes from page to page; images are smaller, which is quicker."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for page in pages:
        _follow(ROOT / f"docs/tutorials/{page}.md", tmp_path, {"--input-size 96": "--input-size 48"})


@pytest.mark.slow
@pytest.mark.usefixtures("detector")  # trained with the settings of the page: its training is in the cache
def test_the_page_on_object_detection_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    _follow(ROOT / "docs/detection.md", tmp_path)


def _follow(page: Path, folder: Path, replaced: Mapping[str, str] = MappingProxyType({})) -> None:
    """Run the blocks of a page one after the other; a block of text has lines of what the last one printed.

    Args:
        page: a Markdown file.
        folder: where its commands run.
        replaced: text in its commands -> what is run in its place.
    """
    output = ""
    for kind, title, block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if title:
            (folder / title).write_text(block, encoding="utf-8")
        elif kind == "python":
            output = _run([sys.executable, "-c", block], folder)
        elif kind == "sh":
            for text, other in replaced.items():
                block = block.replace(text, other)
            output = "".join(_run_line(line, folder) for line in block.splitlines())
        elif kind == "text":
            printed = [_stable(line) for line in output.splitlines()]
            for line in block.splitlines():
                assert _stable(line) in printed, f"{page.name}: {line}\nis not in the output:\n{output}"
        else:
            pytest.fail(f"{page.name}: a block of {kind}, which nobody would run")


def _stable(line: str) -> str:
    """Returns what is the same on every machine: all but numbers, and the spaces that align them."""
    return " ".join(_NUMBER.sub("#", line).split())


def _run_line(line: str, folder: Path) -> str:
    """Run a line of a terminal; returns the output of both streams."""
    program, *arguments = shlex.split(line, comments=True)
    interpreter = {"python": [sys.executable], "headstart": [sys.executable, "-m", "headstart"]}[program]
    expected = _EXIT_CODE.search(line)
    return _run([*interpreter, *arguments], folder, int(expected[1]) if expected else 0)


def _run(command: list[str], folder: Path, exit_code: int = 0) -> str:
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == exit_code, f"{shlex.join(command)}\n{done.stdout}"
    return done.stdout
