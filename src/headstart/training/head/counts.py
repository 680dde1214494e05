"""Counts of tokens beside a linear head: a naive Bayes classifier of tokens and pairs of tokens, added to its logits.

The classifier compares the terms of a class with those of all others, on TF-IDF vectors of length 1: the weight of term
t for class k is log p(t | k) - log p(t | not k), with additive smoothing. It is a closed form, so it takes a tenth of a
second, where a logistic regression on the same counts takes 5 to 100 times as long and is not better.

Its logits are added to those of the head as  a * head + b * counts. The two numbers have the lowest log loss on the
training examples, each predicted by a head and by counts that were fitted without it. They are also fitted without the
fold of an example for its own out-of-fold probabilities.

Sources: Rennie, Shih, Teevan and Karger, "Tackling the poor assumptions of naive Bayes text classifiers", ICML 2003;
Wang and Manning, "Baselines and bigrams: simple, good sentiment and topic classification", ACL 2012; Wolpert, "Stacked
generalization", Neural Networks 1992.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from headstart.model_files.token_counts import MIN_SQUARED_NORM, Terms, TokenCounts
from headstart.tasks import ClassificationTask
from headstart.tasks.outputs import activate, log_odds, logits_of
from headstart.training.head.lbfgs import minimise

COUNTS_VERSION = 3
"""Part of every cache key: raise it when the same texts and labels would give other counts."""

_MIN_TEXTS = 2  # with a term: others are left out
_SMOOTHING = 0.3  # of the mean mass of a term in a class, added to each; 0.1 and 1 are as good
_MAX_VALUES = 1_000_000  # terms times classes; beyond it, rare terms are left out
_BLOCK_TEXTS = 1024
_START = (1.0, 0.1)  # factors of head and counts
_HEAD_ALONE = (1.0, 0.0)  # where counts are chance: what is rare in a class elsewhere is then frequent in its fold


class Entries(NamedTuple):
    """The terms in some texts, one after the other.

    Attributes:
        terms: int (e,), numbers of terms; those of one text follow each other.
        texts: int (e,), the text that each is in, ascending.
        shares: float (e,), what a term adds to the TF-IDF vector of length 1.
    """

    terms: np.ndarray
    texts: np.ndarray
    shares: np.ndarray


class Vocabulary(NamedTuple):
    """The terms that are used.

    Attributes:
        terms: tokens and pairs.
        idf: float (r,), their inverse document frequencies.
    """

    terms: Terms
    idf: np.ndarray

    @classmethod
    def of(cls, ids: Sequence[np.ndarray], pad: int, n_classes: int) -> tuple[Self, Entries]:
        """The terms in at least two texts, but not in all; and where they are.

        Args:
            ids: of each text, int32 (t,).
            pad: id of the padding, which is no token.
            n_classes: number of classes.
        """
        flat, text = np.concatenate(ids), np.repeat(np.arange(len(ids)), [len(tokens) for tokens in ids])
        is_token = flat != pad
        is_pair = (text[1:] == text[:-1]) & is_token[1:] & is_token[:-1]
        codes = [flat[is_token].astype(np.int64), (flat[:-1][is_pair].astype(np.int64) + 1) << 32 | flat[1:][is_pair]]
        code, texts = np.concatenate(codes), np.concatenate([text[is_token], text[1:][is_pair]])
        order = np.argsort(code, kind="stable")  # within a term the texts ascend
        code, texts = code[order], texts[order]
        is_new = np.diff(code, prepend=-1) != 0
        number = np.cumsum(is_new) - 1
        frequency = np.bincount(number[is_new | (np.diff(texts, prepend=-1) != 0)])
        is_used = (frequency >= _MIN_TEXTS) & (frequency < len(ids))
        most = _MAX_VALUES // max(n_classes, 2)
        if is_used.sum() > most:
            is_used &= frequency > np.sort(frequency[is_used])[-most - 1]
        positions = np.flatnonzero(is_used[number])
        positions = positions[np.argsort(texts[positions], kind="stable")]
        terms, texts = (np.cumsum(is_used) - 1)[number[positions]], texts[positions]
        idf = np.log((1 + len(ids)) / (1 + frequency[is_used])) + 1
        norms = np.sqrt(np.maximum(np.bincount(texts, idf[terms] ** 2, len(ids)), MIN_SQUARED_NORM))
        used_codes = code[is_new][is_used]
        pairs = used_codes[used_codes >> 32 > 0]
        vocabulary = Terms(used_codes[used_codes >> 32 == 0], np.stack([(pairs >> 32) - 1, pairs & 0xFFFFFFFF], 1))
        return cls(vocabulary, idf), Entries(terms, texts, idf[terms] / norms[texts])


class CountClassifier(NamedTuple):
    """Counts that were fitted on the training texts.

    Attributes:
        tables: give the logits of any text.
        out_of_fold: float64 (n, classes), logits of each training text by counts that were fitted without its fold.
        vocabulary: the terms.
        entries: where they are in the training texts.
    """

    tables: TokenCounts
    out_of_fold: np.ndarray
    vocabulary: Vocabulary
    entries: Entries


class _Masses(NamedTuple):
    """Weighted TF-IDF of terms, summed over the texts of each group.

    Attributes:
        by_class: float (groups, r, classes), in the texts of each class.
        in_all: float (groups, r), in all texts.
    """

    by_class: np.ndarray
    in_all: np.ndarray

    @classmethod
    def of(cls, entries: Entries, n_terms: int, targets: np.ndarray, weights: np.ndarray, group: np.ndarray) -> Self:
        """Sum up the terms of the texts, each in a group, int (n,) from 0 on."""
        n_groups, n_classes = int(group.max()) + 1, targets.shape[1]
        shares = entries.shares * weights[entries.texts]
        where = group[entries.texts] * n_terms + entries.terms
        by_class = np.zeros((n_groups, n_terms, n_classes))
        for k in range(n_classes):
            of_class = targets[entries.texts, k] > 0
            sums = np.bincount(where[of_class], shares[of_class], n_groups * n_terms)
            by_class[:, :, k] = sums.reshape(n_groups, n_terms)
        return cls(by_class, np.bincount(where, shares, n_groups * n_terms).reshape(n_groups, n_terms))

    def log_ratios(self, groups: np.ndarray) -> np.ndarray:
        """Weights of terms, float (r, classes), from the groups where the mask is True."""
        return _log_ratios(self.by_class[groups].sum(0), self.in_all[groups].sum(0))


def _logits_where(is_wanted: np.ndarray, entries: Entries, ratios: np.ndarray) -> np.ndarray:
    """Logits, float (n, classes), of the texts where the mask, bool (n,), is True; 0 elsewhere."""
    is_in = is_wanted[entries.texts]
    terms, texts, shares = (values[is_in] for values in entries)
    columns = [np.bincount(texts, shares * ratios[terms, k], len(is_wanted)) for k in range(ratios.shape[1])]
    return np.stack(columns, 1)


def fit_counts(
    ids: Sequence[np.ndarray], targets: np.ndarray, weights: np.ndarray, fold: np.ndarray, pad: int, n_ids: int
) -> CountClassifier | None:
    """Fit counts of tokens and pairs of tokens.

    Args:
        ids: of each training text, int32 (t,).
        targets: float (n, classes): 1 for the classes of a text, 0 for the others.
        weights: float (n,), of the texts.
        fold: int (n,), fold of each text, from 0 on.
        pad: id of the padding.
        n_ids: all ids are below this number.

    Returns:
        The counts; None where no term is in two texts.
    """
    vocabulary, entries = Vocabulary.of(ids, pad, targets.shape[1])
    if not len(vocabulary.idf):
        return None
    masses = _Masses.of(entries, len(vocabulary.idf), targets, weights, fold)
    numbers = np.arange(len(masses.in_all))
    out_of_fold = sum(_logits_where(fold == k, entries, masses.log_ratios(numbers != k)) for k in numbers)
    ratios = masses.log_ratios(numbers >= 0)
    tables = TokenCounts.of(vocabulary.terms, ratios, vocabulary.idf, n_ids)
    return CountClassifier(tables, np.asarray(out_of_fold), vocabulary, entries)


def logits_of_parts(
    fitted: CountClassifier, is_part: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Logits, float (n, classes), of the other texts by counts of a part of them, bool (n,); 0 for the part itself."""
    masses = _Masses.of(fitted.entries, len(fitted.vocabulary.idf), targets, weights, is_part.astype(int))
    return _logits_where(~is_part, fitted.entries, masses.log_ratios(np.arange(len(masses.in_all)) == 1))


def _log_ratios(masses: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Weights of terms, float (r, classes): logarithms of the ratio of their shares in a class and outside of it.

    Args:
        masses: float (r, classes), of the terms in the texts of each class.
        totals: float (r,), of the terms in all texts.
    """
    rest = totals[:, None] - masses
    inside, outside = masses + _SMOOTHING * masses.mean(), rest + _SMOOTHING * rest.mean()
    return np.log(inside / inside.sum(0)) - np.log(outside / outside.sum(0))


class Combination(NamedTuple):
    """Logits of a head and of counts, added.

    Attributes:
        factors: of both.
        out_of_fold: float32 (n, classes), probabilities of the training examples. Nothing in them was fitted to the
            label of the example: neither head nor counts nor factors.
    """

    factors: tuple[float, float]
    out_of_fold: np.ndarray


def combine(
    head: np.ndarray, counts: np.ndarray, labels: np.ndarray, weights: np.ndarray, fold: np.ndarray,
    task: ClassificationTask,
) -> Combination:  # fmt: skip
    """Find the factors of head and counts that give the lowest log loss.

    Args:
        head: float32 (n, classes), out-of-fold probabilities.
        counts: float (n, classes), out-of-fold logits.
        labels: of the same examples, as the task encodes them.
        weights: float (n,), of the examples.
        fold: int (n,), of the counts.
        task: what is predicted.
    """
    parts = np.stack([_logits(head, task), counts])

    def factors_for(is_used: np.ndarray) -> np.ndarray:
        shares, used_parts, used_labels = weights[is_used] / weights[is_used].sum(), parts[:, is_used], labels[is_used]

        def objective(factors: np.ndarray) -> tuple[float, np.ndarray]:
            losses, errors = task.cross_entropy(_added(used_parts, factors)[:, None, :], used_labels)
            gradient = (used_parts * errors[:, 0] * shares[:, None]).sum((1, 2))
            return float((shares * losses[:, 0]).sum()), gradient

        factors = minimise(objective, np.array(_START), tolerance=1e-4)
        return factors if factors[1] > 0 else np.array(_HEAD_ALONE)

    out_of_fold = np.empty_like(head)
    for number in range(int(fold.max()) + 1):
        in_fold = fold == number
        out_of_fold[in_fold] = activate(_added(parts[:, in_fold], factors_for(~in_fold)), task.activation)
    of_head, of_counts = factors_for(np.ones(len(labels), bool)).tolist()
    return Combination((of_head, of_counts), out_of_fold)


def _added(parts: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The sum of two parts, float (2, n, classes), each times its factor, without BLAS: it rounds by its threads."""
    return parts[0] * factors[0] + parts[1] * factors[1]


def _logits(probabilities: np.ndarray, task: ClassificationTask) -> np.ndarray:
    if task.activation == "softmax":
        return logits_of(probabilities)
    return np.stack([log_odds(probabilities, k, "sigmoid") for k in range(probabilities.shape[1])], 1)


def logits_in_blocks(tables: TokenCounts, ids: Sequence[np.ndarray], pad: int) -> np.ndarray:
    """Logits, float32 (n, classes), of texts of any lengths."""
    out = np.zeros((len(ids), tables.values.shape[1] - 1), np.float32)
    order = np.argsort([len(tokens) for tokens in ids], kind="stable")  # texts of one length need no padding
    for start in range(0, len(order), _BLOCK_TEXTS):
        block = order[start : start + _BLOCK_TEXTS]
        padded = np.full((len(block), max(len(ids[block[-1]]), 1)), pad, np.int32)
        for row, number in zip(padded, block.tolist(), strict=True):
            row[: len(ids[number])] = ids[number]
        out[block] = tables(padded)
    return out
