"""Compiled templates in the cache: written once, used by the next process, and compiled again where damaged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import jinja2.compiler, sys
from headstart.reports.page import open_template
compiled = []
real = jinja2.environment.Environment._generate
jinja2.environment.Environment._generate = lambda self, *a, **k: compiled.append(1) or real(self, *a, **k)
open_template("report.html.j2")
sys.stdout.write(str(len(compiled)))
"""


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_a_template_is_compiled_once_and_again_where_the_cache_is_damaged(damage: str, tmp_path: Path) -> None:
    def compile_count() -> int:
        environment = {**os.environ, "HEADSTART_CACHE": str(tmp_path)}
        return int(subprocess.check_output([sys.executable, "-c", PROGRAM], env=environment, text=True))

    assert compile_count() == 1
    assert compile_count() == 0
    (file,) = (tmp_path / "templates").iterdir()
    content = file.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    file.write_bytes({"flipped": flipped, "cut": content[:middle], "empty": b""}[damage])
    assert compile_count() == 1
    assert file.read_bytes() == content
