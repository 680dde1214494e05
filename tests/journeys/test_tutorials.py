"""What the tutorials tell to do is done, in their order, and says what they show."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"\n]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
_EXIT_CODE = re.compile(r"# exit code (\d)")
_NUMBER = re.compile(r"\d[\d.,:]*")


@pytest.mark.slow
@pytest.mark.timeout(600)  # minutes on a busy machine, and nothing of it can be shared with other tests
@pytest.mark.parametrize("pages", [("keras",), ("pictures", "texts", "choosing")], ids="+".join)
def test_a_tutorial_does_what_it_says(pages: tuple[str, ...], tmp_path: Path) -> None:
    """In one folder, as a reader would have it who goes from page to page."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for page in pages:
        said = ""
        for kind, title, block in _BLOCK.findall((ROOT / f"docs/tutorials/{page}.md").read_text(encoding="utf-8")):
            if title:
                (tmp_path / title).write_text(block, encoding="utf-8")
            elif kind == "python":
                said = _run([sys.executable, "-c", block], tmp_path)
            elif kind == "sh":
                said = "".join(_run_line(line, tmp_path) for line in block.splitlines())
            elif kind == "text":
                told = [_stable(line) for line in said.splitlines()]
                for line in block.splitlines():
                    assert _stable(line) in told, f"{page}: {line}\nis not in what was said:\n{said}"
            else:
                pytest.fail(f"{page}: a block of {kind}, which nobody would run")


def _stable(line: str) -> str:
    """What is the same on every machine: all but numbers, and the spaces that align them."""
    return " ".join(_NUMBER.sub("#", line).split())


def _run_line(line: str, folder: Path) -> str:
    """Run a line of a terminal: what it says, on both of its streams."""
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
