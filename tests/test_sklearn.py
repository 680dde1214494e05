"""`HeadstartClassifier` in scikit-learn's own tools: cross-validation, searches, pipelines, pickles, its checks."""

import csv
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from headstart.errors import InputError
from headstart.sklearn import HeadstartClassifier
from tests.conftest import SIZE, WORDS

QUESTION = ["A tuple cannot be changed."]


@pytest.fixture(scope="module")
def texts(sentences: Path) -> tuple[list[str], list[str]]:
    with open(sentences, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::4]
    return [row["text"] for row in rows], [row["label"] for row in rows]


def test_texts_are_cross_validated_and_searched(texts: tuple[list[str], list[str]]) -> None:
    x, y = texts
    classifier = HeadstartClassifier(WORDS)
    assert cross_val_score(classifier, x, y, cv=3).mean() > 0.7
    search = GridSearchCV(classifier, {"head": ["linear"], "class_weights": ["none", "balanced"]}, cv=2).fit(x, y)
    assert search.best_score_ > 0.7
    assert search.predict(QUESTION).tolist() == ["python"]
    assert clone(search.best_estimator_).get_params()["base"] == WORDS


def test_a_fitted_classifier_is_pickled_with_its_run(texts: tuple[list[str], list[str]]) -> None:
    x, y = texts
    lowercase = FunctionTransformer(lambda column: [text.lower() for text in column])
    pipeline = make_pipeline(lowercase, HeadstartClassifier(WORDS)).fit(np.array(x), np.array(y))
    classifier = pipeline[-1]
    before = classifier.predict_proba(QUESTION)
    packed = pickle.dumps(classifier)
    folder = classifier.run_.folder
    del classifier, pipeline
    assert not folder.exists()
    assert np.array_equal(pickle.loads(packed).predict_proba(pd.Series(QUESTION)), before)


def test_classes_are_values_of_any_type_in_their_order(photos: Path) -> None:
    paths = sorted(photos.glob("*/*"))
    names = sorted({path.parent.name for path in paths})
    numbers = [{names[0]: 10, names[1]: 9}[path.parent.name] for path in paths]
    classifier = HeadstartClassifier(input_size=SIZE).fit(paths[::2], numbers[::2])
    assert classifier.classes_.tolist() == [9, 10]
    assert classifier.score(paths[1::2], numbers[1::2]) > 0.9
    probabilities = classifier.predict_proba([path.read_bytes() for path in paths[:2]])
    assert probabilities.shape == (2, 2)
    assert classifier.classes_[probabilities.argmax(1)].tolist() == numbers[:2]
    headline = classifier.run_.figures.headline_figures
    assert headline is not None
    assert headline.examples == len(paths[::2])


def test_what_cannot_be_trained_on_is_named(texts: tuple[list[str], list[str]]) -> None:
    x, y = texts
    with pytest.raises(NotFittedError):
        HeadstartClassifier().predict(x)
    with pytest.raises(InputError, match=r"X has 2 examples, and y has 3 labels"):
        HeadstartClassifier().fit(x[:2], y[:3])
    with pytest.raises(InputError, match=r"X is a str: expected a list of images or texts"):
        HeadstartClassifier().fit(x[0], y[:1])
    with pytest.raises(InputError, match=r"y has the shape \(2, 1\)"):
        HeadstartClassifier().fit(x[:2], [[label] for label in y[:2]])


@pytest.mark.filterwarnings("ignore:Can't test estimator")  # many checks are for numbers
def test_the_checks_of_scikit_learn_that_fit_its_inputs_pass() -> None:
    check_estimator(HeadstartClassifier())
