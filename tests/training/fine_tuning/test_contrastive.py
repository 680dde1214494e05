"""Contrastive fine-tuning on a few texts: its loss, and a whole run."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.training.fine_tuning.contrastive import TEMPERATURE, supervised_contrastive_loss


def test_the_loss_is_that_of_the_paper() -> None:
    """Compared with a computation term by term; the last example has no other of its class."""
    labels, z = [0, 0, 1, 1, 1, 2], np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    actual = np.asarray(supervised_contrastive_loss(np.array(labels)[:, None], z))
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    for i, label in enumerate(labels):
        others = [j for j in range(6) if j != i]
        whole = sum(np.exp(z[i] @ z[j] / TEMPERATURE) for j in others)
        shares = [np.exp(z[i] @ z[j] / TEMPERATURE) / whole for j in others if labels[j] == label]
        assert actual[i] == pytest.approx(-np.mean(np.log(shares)) if shares else 0, rel=1e-4)


@pytest.mark.slow
def test_a_few_texts_are_evaluated_by_cross_validation(sentences: Path, tmp_path: Path) -> None:
    config = hs.FineTuneConfig(fine_tune_epochs=4, keep="fine-tuned")
    options = {"base": "embedded:all-minilm-l6-v2", "shots": 6, "fine_tune": "last:1", "config": config}
    run = hs.train(pd.read_csv(sentences)[::3], runs=tmp_path, **options)
    facts = run.facts.fine_tuning
    assert facts.outcome == "kept"
    assert facts.reason.startswith("Cross-validated on the 12 training examples, contrastive fine-tuning: accuracy")
    assert facts.on_folds.examples == 12
    assert (facts.process.blocks, facts.process.folds, facts.process.steps) == (["layer_5"], 2, 4)
    proof = run.facts.freeze_proof
    assert (proof.changed, proof.trained) == (0, 16)
    assert run.metrics["accuracy"] > 0.8
    assert run.predict("The classifier was trained on measurements of flowers.").predicted == "data"
    assert "cross-validation" in run.report().read_text(encoding="utf-8")
