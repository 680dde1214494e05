"""Counts of tokens beside the features of a linear head."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.errors import InputError
from headstart.explanation.activations import open_activations
from headstart.model_files.token_counts import DIGIT, Terms, TokenCounts
from headstart.runs.predictor import Predictor
from headstart.tasks import classification_task, get_task
from headstart.training.head.counts import Vocabulary, combine, fit_counts, logits_in_blocks

PAD = 0
N_IDS = 300


def texts_of_ids(n: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, N_IDS, rng.integers(1, 30)).astype(np.int32) for _ in range(n)]


def test_logits_are_those_of_a_linear_classifier_on_tf_idf() -> None:
    rng = np.random.default_rng(0)
    tokens = np.unique(rng.integers(1, N_IDS, 150))
    pairs = np.unique(rng.integers(1, N_IDS, (9000, 2)), axis=0)
    number = {(int(token),): i for i, token in enumerate(tokens)}
    number |= {(int(first), int(second)): i for i, (first, second) in enumerate(pairs, len(tokens))}
    weights, idf = rng.normal(size=(len(number), 3)), rng.uniform(1, 6, len(number))
    tables = TokenCounts.of(Terms(tokens, pairs), weights, idf, N_IDS)
    assert (tables.n_tokens, tables.n_pairs) == (len(tokens), len(pairs))
    texts = [*texts_of_ids(40), np.array([int(tokens[0])] * 5, np.int32), np.empty(0, np.int32)]
    expected = np.zeros((len(texts), 3))
    for row, ids in zip(expected, texts, strict=True):
        terms = [*zip(ids.tolist(), strict=True), *zip(ids[:-1].tolist(), ids[1:].tolist(), strict=True)]
        known = [number[term] for term in terms if term in number]
        if known:
            row[:] = (weights[known] * idf[known, None]).sum(0) / np.sqrt((idf[known] ** 2).sum())
    np.testing.assert_allclose(logits_in_blocks(tables, texts, PAD), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits_in_blocks(tables.scaled(-0.5), texts, PAD), -0.5 * expected, rtol=1e-4, atol=1e-5)


def test_numbers_in_keras_are_exact_in_float16() -> None:
    pairs = np.unique(np.random.default_rng(0).integers(1, 200_000, (9000, 2)), axis=0)
    tables = TokenCounts.of(
        Terms(np.arange(1, 3), pairs), np.ones((len(pairs) + 2, 2)), np.ones(len(pairs) + 2), 200_000
    )
    tokens_in_keras, pairs_in_keras, _ = tables.for_keras().values()
    for numbers, digits in ((tables.tokens, tokens_in_keras), (tables.pairs, pairs_in_keras)):
        low, high = np.split(digits.astype(np.float16).astype(np.int64), 2, axis=1)
        np.testing.assert_array_equal(low + DIGIT * high, numbers)


def test_terms_of_one_text_or_of_all_and_padding_are_left_out() -> None:
    ids = [np.array(text, np.int32) for text in ([9, 5, 6, 7], [9, 5, 6, 0, 0], [9, 8, 6])]
    vocabulary, entries = Vocabulary.of(ids, PAD, 2)
    assert vocabulary.terms.tokens.tolist() == [5]  # 9 and 6 are in all, 7 and 8 in one
    assert vocabulary.terms.pairs.tolist() == [[5, 6], [9, 5]]
    for text in range(2):
        assert np.square(entries.shares[entries.texts == text]).sum() == pytest.approx(1)
    assert 2 not in entries.texts


def fitted(labels: np.ndarray, ids: list[np.ndarray], task_name: str = "single-label"):  # type: ignore[no-untyped-def]
    task = classification_task(get_task(task_name))
    n_classes = int(labels.max()) + 1 if labels.ndim == 1 else labels.shape[1]
    fold, weights = np.arange(len(ids)) % 5, np.ones(len(ids))
    return task, fold, weights, fit_counts(ids, task.targets(labels, n_classes), weights, fold, PAD, N_IDS)


def test_out_of_fold_logits_know_nothing_of_their_own_labels() -> None:
    """Other labels of one fold change the logits of the others, and not its own."""
    ids = texts_of_ids(400)
    labels = np.random.default_rng(1).integers(0, 3, len(ids))
    changed = labels.copy()
    changed[::5] = (changed[::5] + 1) % 3
    _, fold, _, before = fitted(labels, ids)
    *_, after = fitted(changed, ids)
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(before.out_of_fold[fold == 0], after.out_of_fold[fold == 0], rtol=1e-9, atol=1e-12)
    assert not np.allclose(before.out_of_fold[fold == 1], after.out_of_fold[fold == 1])


def test_counts_of_random_labels_gain_nothing() -> None:
    ids = texts_of_ids(600)
    labels = np.random.default_rng(2).integers(0, 2, len(ids))
    task, fold, weights, counts = fitted(labels, ids)
    assert counts is not None
    head = np.full((len(ids), 2), 0.5, np.float32)
    combined = combine(head, counts.out_of_fold, labels, weights, fold, task)
    assert task.log_losses(labels, combined.out_of_fold).mean() > np.log(2) - 0.002


@pytest.mark.parametrize("task_name", ["single-label", "multi-label"])
def test_counts_help_a_head_that_knows_nothing(task_name: str) -> None:
    ids = texts_of_ids(600)
    ids = [np.concatenate([text, (7, 8) if i % 2 else (8, 7)]).astype(np.int32) for i, text in enumerate(ids)]
    has_pair = np.arange(len(ids)) % 2 == 1
    labels = has_pair.astype(int) if task_name == "single-label" else np.stack([has_pair, ~has_pair], 1).astype(int)
    task, fold, weights, counts = fitted(labels, ids, task_name)
    assert counts is not None
    head = np.full((len(ids), 2), 0.5, np.float32)
    combined = combine(head, counts.out_of_fold, labels, weights, fold, task)
    assert task.log_losses(labels, combined.out_of_fold).mean() < 0.4
    assert combined.factors[1] > 0


def write_orders(path: Path, n: int) -> Path:
    """Sentences whose label is the order of two words: the mean of word vectors cannot know it."""
    rng = np.random.default_rng(0)
    nouns = ["dog", "house", "river", "music", "winter", "letter", "garden", "bread", "city", "window"]
    rows = []
    for i in range(n):
        words = rng.choice(nouns, 6).tolist()
        place = int(rng.integers(0, 5))
        words[place:place] = ["never", "good"] if i % 2 else ["good", "never"]
        rows.append(f"{' '.join(words)},{'bad' if i % 2 else 'fine'}\n")
    path.write_text("text,label\n" + "".join(rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def order_run(tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    folder = tmp_path_factory.mktemp("orders")
    return hs.train(write_orders(folder / "orders.csv", 300), base="embedded:glove-6b-50d", runs=folder / "runs")


@pytest.mark.slow
def test_a_run_with_counts_is_one_model(order_run: hs.Run) -> None:
    keras = pytest.importorskip("keras")
    choice = order_run.facts.head.counts
    assert choice.kind == "tokens"
    assert choice.gain > choice.standard_error > 0
    assert order_run.metrics["accuracy"] > 0.9
    assert order_run.facts.learning_curve.points[-1][1] > 0.9  # also of the head with counts
    assert "pairs" in (order_run.folder / "report.html").read_text(encoding="utf-8")
    predictor = Predictor(order_run.folder, expected=1)
    answers = order_run.predict(["never good garden", "garden good never"])
    assert [answer.predicted for answer in answers] == ["bad", "fine"]
    ids = predictor.samples
    from_keras = keras.models.load_model(order_run.model_path).predict(ids, verbose=0)
    np.testing.assert_allclose(from_keras, predictor.values(ids), atol=1e-4)
    computed = open_activations(predictor)(ids)
    assert computed.features.shape == (len(ids), order_run.facts.base.feature_dim)


def test_counts_are_refused_where_they_are_impossible(tmp_path: Path) -> None:
    table = write_orders(tmp_path / "orders.csv", 40)
    with pytest.raises(InputError, match="tokens cannot be counted for a head with hidden layers"):
        hs.train(table, base="embedded:glove-6b-50d", head="mlp", counts="tokens", runs=tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("fine", "coarse"):
        (tmp_path / "photos" / name).mkdir()
        Image.new("RGB", (32, 32)).save(tmp_path / "photos" / name / "1.png")
    with pytest.raises(InputError, match="efficientnet-lite0 reads no tokens that could be counted"):
        hs.train(tmp_path / "photos", counts="tokens", runs=tmp_path)
