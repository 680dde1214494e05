"""Check Keras training scripts and model files for common mistakes in transfer learning."""

import logging
import os
from pathlib import Path

from headstart.checks.files import MODEL_SUFFIXES, SCRIPT_SUFFIXES, find_files
from headstart.checks.rules.catalog import Finding
from headstart.checks.scripts.check import check_scripts
from headstart.errors import InputError, counted

logger = logging.getLogger(__name__)


def check(*paths: str | os.PathLike[str]) -> list[Finding]:
    """Find common mistakes in Keras training scripts and models.

    Nothing is executed: scripts are read as syntax trees, and models are opened in the safe mode of Keras.

    Args:
        paths: ``.py`` or ``.ipynb`` files, ``.keras`` or full-model ``.h5`` files, run folders (their models are
            checked), or folders with scripts and ``.keras`` files. A file in a folder that cannot be read leads to a
            warning. The same is true of a file without Keras training, and of a notebook cell that is not Python.

    Returns:
        The findings by file and line, those in scripts first; an empty list if there are none.

    Raises:
        InputError: a path does not exist, is not one of these, or is a file that cannot be read; or no file has Keras
            training.
    """
    required = {path for path in map(Path, paths) if not path.is_dir()}
    files = list(dict.fromkeys(file for path in map(Path, paths) for file in find_files(path)))
    scripts = check_scripts(file for file in files if file.suffix in SCRIPT_SUFFIXES)
    findings, problems = scripts.findings, scripts.problems
    models = [file for file in files if file.suffix in MODEL_SUFFIXES]
    if models:
        from headstart.checks.model_files.check import check_models

        model_findings, model_problems = check_models(models)
        findings, problems = findings + model_findings, problems | model_problems
    for file, problem in problems.items():
        if file in required:
            raise problem
        logger.warning(str(problem))
    messages = {file: f"no Keras training seen in {file}: {text}." for file, text in scripts.other_frameworks.items()}
    if messages and len(messages) == len(files):
        more_files = f" The same is true of {counted(len(files) - 1, 'other file')}." if len(files) > 1 else ""
        raise InputError(f"{messages[files[0]]}{more_files} `headstart check` reads code for Keras 2 and 3.")
    for file in required & set(messages):
        logger.warning(messages[file])
    return findings
