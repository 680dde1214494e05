"""Checks model files: opens them in one Keras process and applies the rules to their networks."""

from pathlib import Path
from typing import Any

from headstart.bases.local import refuse_code
from headstart.bases.model_config import ModelFile, read_model_file
from headstart.checks.compiling import find_threshold_metrics, object_from_config, read_loss, read_optimizer
from headstart.checks.model_files.build import build_network
from headstart.checks.network import CompileConfig, Network
from headstart.checks.rules.architecture import check_architecture
from headstart.checks.rules.catalog import RULES, Finding, make_finding
from headstart.checks.rules.outputs import check_outputs
from headstart.checks.rules.training import check_training
from headstart.errors import InputError
from headstart.system import keras_worker

_MODEL_RULES = {rule.name for rule in RULES if "models" in rule.found_in}


def check_models(paths: list[Path]) -> tuple[list[Finding], dict[Path, InputError]]:
    """Find mistakes in model files.

    Args:
        paths: ``.keras`` or full-model ``.h5`` files.

    Returns:
        The findings. Then file -> why it could not be checked: it is damaged, contains weights only, or needs code
        that is not part of Keras.
    """
    files: dict[Path, ModelFile] = {}
    problems: dict[Path, InputError] = {}
    for path in paths:
        try:
            file = read_model_file(path)
            refuse_code(file)
            files[path] = file
        except InputError as exc:
            problems[path] = exc
    findings: list[Finding] = []
    for path, description in zip(files, _describe(list(files)), strict=True):
        if "problem" in description:
            problems[path] = InputError(description["problem"])
        else:
            network = build_network(description)
            network.compile_config = _read_compile_config(files[path].training)
            findings += _check_network(path, network)
    return findings, problems


def _describe(paths: list[Path]) -> list[dict[str, Any]]:
    if not paths:
        return []
    arguments = {"paths": [str(path.absolute()) for path in paths]}
    return keras_worker.call("headstart.checks.model_files.describe:describe_models", arguments)


def _check_network(path: Path, network: Network) -> list[Finding]:
    findings: dict[str, Finding] = {}

    def report(rule: str, line: int, message: str) -> None:
        if rule in _MODEL_RULES:
            findings.setdefault(rule, make_finding(rule, message, path, line))

    check_architecture(network, None, report)
    check_outputs(network, report)
    check_training(network, 0, report)
    return sorted(findings.values(), key=lambda finding: finding.code)


def _read_compile_config(saved: dict[str, Any] | None) -> CompileConfig | None:
    if not saved:
        return None
    optimizer, rate = read_optimizer(object_from_config(saved.get("optimizer", saved.get("optimizer_config"))))
    loss, from_logits = read_loss(object_from_config(saved.get("loss")))
    return CompileConfig(
        optimizer=optimizer,
        learning_rate=rate,
        loss=loss,
        from_logits=from_logits,
        threshold_metrics=find_threshold_metrics(object_from_config(saved.get("metrics"))),
    )
