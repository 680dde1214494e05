"""The number of the format of runs."""

from typing import Literal

FORMAT_VERSION: Literal[5] = 5
"""Any change of a field of ``run.json`` or ``metrics.json`` raises it, and needs a step in the migrations."""
