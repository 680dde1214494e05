import re
from pathlib import Path

import pandas as pd
import pytest

from headstart.data.class_names import similar_names
from headstart.data.dataset import load_dataset
from headstart.errors import InputError
from tests.data.trees import make_tree

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (COMPOSED, DECOMPOSED), ("Cat", "cat"), ("1", "1.0"), ("cat", "cat\u200b"), ("hot dog", "hot\u00a0dog"),
        ("hot dog", "hot_dog"), ("hot-dog", "Hot Dog"), ("stra\u00dfe", "STRASSE"), ("\uff21", "a"), ("7.", "7"),
        ("01", "1"), ("+1", "1"), ("1e0", "1"), (".5", "0.50"), ("\u0661", "1"),
    ],
)  # fmt: skip
def test_names_that_are_nearly_the_same(first: str, second: str) -> None:
    assert similar_names([first, "other", second]) == [[first, second]]


@pytest.mark.parametrize("names", [("A", "A-", "A+"), ("1", "-1", "1.5", "10"), ("c", "c++", "c#"), ("1.0.0", "1.0.1")])
def test_names_that_are_different(names: tuple[str, ...]) -> None:
    assert similar_names(names) == []


def test_folders_with_nearly_the_same_name_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = make_tree(tmp_path, f"{COMPOSED}/1.jpg", f"{DECOMPOSED}/2.jpg", "Cat/3.jpg", "cat/4.jpg")
    assert len(load_dataset(root).classes) == 4
    assert "nearly the same name: 'Cat', 'cat'" in caplog.text
    assert r"(cafe\u0301)" in caplog.text
    assert r"(caf\xe9)" in caplog.text
    caplog.clear()
    load_dataset(root, classes=["Cat", COMPOSED])
    assert "nearly the same" not in caplog.text


@pytest.mark.parametrize("labels", [["1", "1.0", "2", "2.0"], ["1.0", "2.0", "1.0", "2.0"], ["1", "2.", "1", "2"]])
def test_whole_numbers_of_one_column_are_one_class(
    tmp_path: Path, labels: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "headstart")
    table = tmp_path / "t.csv"
    table.write_text("path,label\n" + "".join(f"{i}.jpg,{label}\n" for i, label in enumerate(labels)))
    assert load_dataset(table).class_counts == {"1": 2, "2": 2}
    assert load_dataset(table).classes == ["1", "2"]
    is_mixed = {"1", "2"} & set(labels)
    assert ("t.csv: labels such as" in caplog.text) == bool(is_mixed)
    assert not is_mixed or re.search(r"such as '(1|2)' and '(1\.0|2\.)' are one class", caplog.text)


def test_other_numbers_stay_as_they_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frame = pd.DataFrame({"path": ["1.jpg", "2.jpg", "3.jpg"], "label": ["1.0", "1.5", "1"]})
    assert load_dataset(frame).classes == ["1", "1.0", "1.5"]
    assert "nearly the same name: '1', '1.0'" in caplog.text


def test_known_classes_are_found_in_another_form(tmp_path: Path) -> None:
    root = make_tree(tmp_path, f"{DECOMPOSED}/1.jpg", "1/2.jpg")
    known = load_dataset(root, known_classes=[COMPOSED, "1.0"])
    assert known.class_names == ["1.0", COMPOSED]
    assert load_dataset(root, classes=[COMPOSED, "1"]).classes == [DECOMPOSED, "1"]


def test_numbers_that_were_measured_are_no_classes() -> None:
    texts = [f"a film {i}" for i in range(24)]
    with pytest.raises(InputError, match=r"24 different numbers, such as 0\.0625\. Classes are predicted"):
        load_dataset(pd.DataFrame({"text": texts, "label": [(i + 1.0) / 16 + 1e-9 * (i > 0) for i in range(24)]}))
    assert len(load_dataset(pd.DataFrame({"text": texts, "label": range(24)})).classes) == 24
    stars = load_dataset(pd.DataFrame({"text": texts, "label": [i % 12 / 2 for i in range(24)]}))
    assert len(stars.classes) == 12
