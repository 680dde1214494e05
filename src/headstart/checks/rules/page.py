"""Writes docs/checks.md, the page about all rules: ``python -m headstart.checks.rules.page > docs/checks.md``."""

import sys
from textwrap import fill

from headstart.checks.rules.catalog import RULES

_INTRODUCTION = """# What `headstart check` looks for

    headstart check train.py                   # a script or notebook: read, never executed
    headstart check model.keras                # a model file: opened without executing code from it
    headstart check --explain HS103            # one of the rules below, in the terminal

`check` looks for mistakes in your own Keras transfer learning. It follows a script through its functions, loops and
conditions, and into the modules beside it, and computes what is known about each value. It reports only what is
certainly wrong. Values that it cannot know (an option from the command line, a function of another package) are not
reported. Therefore "no findings" does not prove that a script is correct.

Images are followed from where they are read: `image_dataset_from_directory`, `ImageDataGenerator`, `tfds`,
`list_files`, the functions of `tf.io` and `tf.image`, `load_img`, OpenCV, Pillow, scikit-image, imageio,
generator functions and `Sequence` classes. Training with a gradient tape is checked like `fit`: at each call of a loss,
a metric or `apply_gradients`.

In a notebook, all Python cells are read in their order, and a finding names the code cell and the line in the cell.
Cells that begin with `%%time`, `%%capture` or another magic for Python are read; cells in other languages (`%%bash`,
`%%html`, `%%R`) are skipped, and so are shell commands and other magics. A cell that is not Python is named in a
warning, and the other cells are read. Notebooks of all versions (.ipynb) are read, and scripts of Jupytext, VS Code,
Databricks, Colab and nbconvert.

`--json` prints the findings as JSON. The exit code is 2 if there are errors; `--fail-on warning` includes warnings,
`--fail-on never` always gives 0 for findings. If no file has Keras training, there is nothing to check: `check` says
"no Keras training seen" and what was seen instead (PyTorch, an R notebook, code for Keras 1), and the exit code is 2.
If some of the files have no Keras training, each of them that was named gets a warning."""


def format_page() -> str:
    """The content of docs/checks.md."""
    rows = ["| code | name | severity | found in | mistake |", "|---|---|---|---|---|"]
    sections = []
    for rule in RULES:
        link, found_in = f"[{rule.code}](#{rule.code.lower()}-{rule.name})", " and ".join(rule.found_in)
        source = rule.source if " " in rule.source else f"<{rule.source}>"
        rows.append(f"| {link} | `{rule.name}` | {rule.severity} | {found_in} | {rule.title} |")
        sections += [
            f"## {rule.code} {rule.name}\n\n**{rule.title}** ({rule.severity}; found in {found_in})",
            fill(rule.why, 120, break_on_hyphens=False),
            f"Fix: {rule.fix}",
            f"```python\n{rule.example}\n```",
            f"Source: {source}",
        ]
    return "\n\n".join([_INTRODUCTION, "\n".join(rows), *sections]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(format_page())
