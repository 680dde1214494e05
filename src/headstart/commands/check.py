"""Check Keras training scripts and model files for common mistakes in transfer learning."""

import logging
import os
from pathlib import Path

from headstart.checks.files import MODEL_SUFFIXES, SCRIPT_SUFFIXES, find_files
from headstart.checks.rules.catalog import Finding
from headstart.checks.scripts.check import check_scripts

logger = logging.getLogger(__name__)


def check(*paths: str | os.PathLike[str]) -> list[Finding]:
    """Find common mistakes in Keras training scripts and models.

    Nothing is executed: scripts are read as syntax trees, and models are opened in the safe mode of Keras.

    Args:
        paths: ``.py`` or ``.ipynb`` files, ``.keras`` or full-model ``.h5`` files, run folders (their models are
            checked), or folders with scripts and ``.keras`` files. A file in a folder that cannot be read leads to a
            warning.

    Returns:
        The findings by file and line, those in scripts first; an empty list if there are none.

    Raises:
        InputError: a path does not exist, is not one of these, or is a file that cannot be read.
    """
    required = {path for path in map(Path, paths) if not path.is_dir()}
    files = list(dict.fromkeys(file for path in map(Path, paths) for file in find_files(path)))
    findings, problems = check_scripts(file for file in files if file.suffix in SCRIPT_SUFFIXES)
    models = [file for file in files if file.suffix in MODEL_SUFFIXES]
    if models:
        from headstart.checks.model_files.check import check_models

        model_findings, model_problems = check_models(models)
        findings, problems = findings + model_findings, problems | model_problems
    for file, problem in problems.items():
        if file in required:
            raise problem
        logger.warning(str(problem))
    return findings
