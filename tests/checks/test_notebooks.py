"""Notebooks, and scripts that were notebooks: the code of every cell is read, and messages name cell and line."""

import json
from pathlib import Path
from typing import Any

import pytest

import headstart as hs
from headstart.errors import InputError

MISTAKE = "keras.Sequential([keras.Input((8,)), keras.layers.Dense(1, 'softmax')]).compile()"


def _cell(source: Any, **content: Any) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "outputs": [], "source": source, **content}


@pytest.fixture
def places(tmp_path: Path):
    """A function that writes a notebook, or a script from a text, and returns cell and line of each finding."""

    def check(content: Any, **metadata: Any) -> list[tuple[int | None, int | None]]:
        file = tmp_path / ("train.py" if isinstance(content, str) else "train.ipynb")
        notebook = content if isinstance(content, dict) else {"cells": content, "metadata": metadata, "nbformat": 4}
        file.write_text(content if isinstance(content, str) else json.dumps(notebook))
        findings = hs.check(file)
        assert {finding.name for finding in findings} <= {"one-unit-softmax"}
        return [(finding.cell, finding.line) for finding in findings]

    return check


def test_place_of_a_finding(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Train\n", "not Python"]},
        _cell(["%matplotlib inline\n", "!pip install keras\n", "import keras"]),
        _cell(MISTAKE),
    ]
    notebook = tmp_path / "train.ipynb"
    notebook.write_text(json.dumps({"cells": cells, "nbformat": 4}))
    (finding,) = hs.check(notebook)
    assert (finding.name, finding.cell, finding.line, finding.place) == (
        "one-unit-softmax",
        2,
        1,
        f"{notebook}:cell 2:1",
    )


@pytest.mark.parametrize(
    "beginning",
    [
        *("%%time", "%%capture output", "%%timeit -n1 x = 1", "%%prun -l 5", "%%memit", "%%unknown a", "%python"),
        *("# title\n\n%%time", "%%capture\n%%time", "%load_ext tensorboard", "%time f()", "%timeit -n 2 -r1 f(1)"),
        *("!pip install a \\\n  b \\\n  c", "%pip install a", "pip install a", "!!ls", "rm -rf x", "cd .."),
        *("if a:\n    !ls {a}\n    %matplotlib inline", "for a in b:\n    !echo {a}\nelse:\n    %time f()"),
        *("keras?", "?keras", "keras.Model??", "a['b'].c?  # why", "a = !ls", "a, b[0] = %env a", "a = %time f()"),
        *("'''\n!ls\n%%bash\n'''", "(5\n % 3)", "(1\n!= 2)", 'print("why?")  # why?', "a = [\n    'b?'\n]"),
        *("  x = 1\n  y = 2", "await f()"),
    ],
)
def test_code_around_the_syntax_of_ipython_is_read(places, beginning) -> None:
    line = beginning.count("\n") + 2
    assert places([_cell("import keras"), _cell(f"{beginning}\n{MISTAKE}"), _cell(MISTAKE)]) == [(2, line), (3, 1)]


@pytest.mark.parametrize(
    "cell",
    [
        *("%%bash\nfor x in", "%%html\n<b>", "%%R\nx <- 1", "%%unknown\n<b>", "%%script false\n" + MISTAKE),
        *("%md\n# Title", "%sql\nselect 1", "%sh\nls -l", "%%python\n" + MISTAKE),
    ],
)
def test_cells_in_other_languages_are_skipped(places, caplog, cell) -> None:
    assert places([_cell("import keras"), _cell(cell), _cell(MISTAKE)]) == [(3, 1)]
    assert not caplog.text


@pytest.mark.parametrize("magic", ["%time ", "h = %time ", "%timeit -n 1 -r 1 ", "%prun "])
def test_statements_after_a_line_magic_are_read(places, magic) -> None:
    assert places([_cell("import keras\nif True:\n    " + magic + MISTAKE)]) == [(1, 3)]


def test_unfreezing_in_a_timed_cell_is_found(tmp_path: Path) -> None:
    code = (
        "import keras\nbase = keras.applications.VGG16(include_top=False, pooling='avg')\nbase.trainable = False\n"
        "model = keras.Sequential([base, keras.layers.Dense(3, 'softmax')])\n"
        "model.compile(keras.optimizers.Adam(1e-5), 'sparse_categorical_crossentropy')\nmodel.fit(data)"
    )
    new_compile = "model.compile(keras.optimizers.Adam(1e-5), 'sparse_categorical_crossentropy')\nmodel.fit(data)"
    for last, expected in (("model.fit(data)", [("HS115", 2)]), (new_compile, [])):
        cells = [_cell(code), _cell(f"%%time\nbase.trainable = True\n{last}")]
        (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
        findings = hs.check(tmp_path / "a.ipynb")
        assert [(finding.code, finding.line) for finding in findings] == expected
        assert all("fit is called again without a new compile (cell 2, line 3)" in f.message for f in findings)


def test_a_cell_that_is_not_python_is_named_and_the_others_are_read(places, caplog) -> None:
    cells = [_cell("import keras"), _cell("x = 1\nlater: write this"), _cell("print 'a'"), _cell(MISTAKE)]
    assert places(cells) == [(4, 1)]
    assert "train.ipynb:cell 2:2 is not Python 3: invalid syntax. The cell is skipped." in caplog.text
    assert "train.ipynb:cell 3:1 is not Python 3: Missing parentheses" in caplog.text
    with pytest.raises(InputError, match=r"no code cell of .*\.ipynb is Python\. .*cell 1:1"):
        places([_cell("later: write this"), _cell("")])


def test_versions_of_the_format(places) -> None:
    lines = ["import keras\n", MISTAKE]
    for cell in (_cell(lines), {"cell_type": "code", "input": lines, "language": "python"}):
        sheets = {"worksheets": [{"cells": [_cell("")]}, {"cells": [cell]}], "nbformat": 3, "metadata": {"name": ""}}
        assert places(sheets) == [(2, 2)]
    assert places({"cells": [{"cell_type": "code", "code": "".join(lines)}], "nbformat": 1}) == [(1, 2)]
    assert places([_cell(lines), {"cell_type": "code"}, 5, _cell(None)]) == [(1, 2)]


def test_files_that_are_no_notebooks(tmp_path: Path) -> None:
    notebook = tmp_path / "train.ipynb"
    for content in ('{"worksheets": []}', "[]", "", '{"cells": 5}', "[" * 100_000, "\xff"):
        notebook.write_text(content, encoding="latin-1")
        with pytest.raises(InputError, match=r"train\.ipynb is damaged or not a Jupyter notebook"):
            hs.check(notebook)


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        ({"kernelspec": {"language": "R", "name": "ir"}}, "R"),
        ({"kernelspec": {"name": "ir"}}, "R"),
        ({"language_info": {"name": "julia"}}, "julia"),
    ],
)
def test_notebooks_in_other_languages(places, metadata, language) -> None:
    with pytest.raises(InputError, match=f"no Keras training seen in .*: it is a notebook in the language {language}"):
        places([_cell("library(keras)\nmodel %>% fit(x)")], **metadata)
    cells = [_cell("import keras"), _cell("x <- 1", metadata={"vscode": {"languageId": "r"}}), _cell(MISTAKE)]
    assert places(cells, kernelspec={"language": "python", "name": "python3"}) == [(3, 1)]


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (f"# %%\nimport keras\n%matplotlib inline\n# %%\n%%time\n{MISTAKE}\n# %% [markdown]\n# text", 6),
        (f"import keras\n# %%\n%%bash\nfor x in\n# %%\n{MISTAKE}", 6),
        (f"# In[1]:\nimport keras\nget_ipython().run_cell_magic('time', '', {'x=1' + chr(10) + MISTAKE!r})\n", 3),
        (f"import keras\nif True:\n    get_ipython().run_line_magic('time', {MISTAKE!r})\n", 3),
        (
            "!pip install keras\nimport keras\n# Commented out IPython magic to ensure Python compatibility.\n"
            f"# %%time\n# if True:\n#   {MISTAKE}\n\n# end",
            6,
        ),
        (f"# Databricks notebook source\n# MAGIC %md a\nimport keras\n# COMMAND ----------\n{MISTAKE}", 5),
    ],
)
def test_notebooks_that_were_saved_as_scripts(places, script, line) -> None:
    assert places(script) == [(None, line)]
