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

`--json` prints the findings as JSON. The exit code is 2 if there are errors; `--fail-on warning` includes warnings,
`--fail-on never` always gives 0."""


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
