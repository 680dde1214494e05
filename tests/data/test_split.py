import hashlib
from pathlib import Path

import numpy as np
import pytest

from headstart.data.audit.checks import Finding, Occurrence
from headstart.data.dataset import Dataset, load_dataset
from headstart.data.modalities import IMAGE
from headstart.data.split import check_split, folds, group_ids, split, split_dataset
from headstart.errors import InputError
from headstart.tasks import get_task
from tests.data.box_files import draw, write

SINGLE_LABEL = get_task("single-label")


def _keys(n: int, prefix: str = "") -> list[bytes]:
    return [hashlib.sha256(f"{prefix}{i}".encode()).digest() for i in range(n)]


def _labels(n: int, n_classes: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, n_classes, n)


def _split(labels: np.ndarray, keys: list[bytes], **options: object) -> np.ndarray:
    groups = options.pop("groups", None)
    return split(SINGLE_LABEL, labels, groups=group_ids(None, keys) if groups is None else groups, keys=keys, **options)


def test_every_class_has_its_share_of_every_part() -> None:
    labels = np.repeat([0, 1, 2], [100, 40, 20])
    parts = _split(labels, _keys(160), val=0.15, test=0.2)
    for label, n in enumerate((100, 40, 20)):
        mine = parts[labels == label]
        assert [(mine == side).sum() for side in ("train", "val", "test")] == [
            round(n * share) for share in (0.65, 0.15, 0.2)
        ]


@pytest.mark.parametrize("n", [3, 4, 5, 7])
def test_small_classes_are_in_every_part(n: int) -> None:
    assert set(_split(np.zeros(n, int), _keys(n))) == {"train", "val", "test"}


def test_the_order_of_the_examples_does_not_matter() -> None:
    labels, keys = _labels(200), _keys(200)
    parts = _split(labels, keys)
    order = np.random.default_rng(1).permutation(200)
    assert np.array_equal(_split(labels[order], [keys[i] for i in order]), parts[order])


def test_new_examples_hardly_move_the_others() -> None:
    labels, keys = _labels(400), _keys(400)
    before = _split(labels, keys)
    after = _split(np.append(labels, [0, 1, 2, 0]), keys + _keys(4, "new"))[:400]
    assert (before != after).mean() < 0.03


def test_the_seed_decides() -> None:
    labels, keys = _labels(200), _keys(200)
    assert np.array_equal(_split(labels, keys, seed=5), _split(labels, keys, seed=5))
    assert (_split(labels, keys, seed=5) != _split(labels, keys, seed=6)).mean() > 0.2


@pytest.mark.parametrize("seed", range(8))
def test_units_are_never_divided_and_classes_stay_near_their_share(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 600
    labels, groups = _labels(n, 3, seed), [f"patient {i}" for i in rng.integers(0, 60, n)]
    keys = _keys(n)
    for i in rng.integers(0, n, 20):  # the same bytes under two names
        keys[i] = keys[(i + 7) % n]
    groups = group_ids(groups, keys)
    parts = _split(labels, keys, groups=groups, seed=seed)
    for same in (groups, keys):
        for value in set(same):
            assert len({parts[i] for i in range(n) if same[i] == value}) == 1
    for label in range(3):
        assert (parts[labels == label] == "train").mean() == pytest.approx(0.7, abs=0.08)


def test_units_join_by_way_of_others() -> None:
    groups, digests = ["a", "a", "b", "b", "c"], [b"1", b"2", b"2", b"3", b"4"]
    assert group_ids(groups, digests).tolist() == [0, 0, 0, 0, 1]
    assert group_ids(None, [b"1", b"2", b"1"]).tolist() == [0, 1, 0]
    assert group_ids(None, [b"1", b"2", b"3", b"4"], [(3, 1), (1, 0)]).tolist() == [0, 0, 1, 0]


def test_a_given_division_is_kept_and_val_comes_from_train() -> None:
    given = ["train"] * 80 + ["test"] * 20
    labels, keys = np.tile([0, 1], 50), _keys(100)
    parts = _split(labels, keys, given_splits=given, val=0.25)
    assert (parts[80:] == "test").all()
    assert [(parts[:80] == side).sum() for side in ("train", "val")] == [60, 20]
    assert _split(labels, keys, given_splits=given, val=0).tolist() == given
    with_val = ["train"] * 50 + ["val"] * 50
    assert _split(labels, keys, given_splits=with_val).tolist() == with_val


@pytest.mark.parametrize(("val", "test"), [(0.5, 0.5), (-0.1, 0.1), (0.1, 1.0), (0.9, 0.2)])
def test_fractions_that_leave_nothing_are_refused(val: float, test: float) -> None:
    with pytest.raises(InputError, match=f"val='{val:g}' and test='{test:g}'"):
        _split(_labels(10), _keys(10), val=val, test=test)


def test_folds_are_stratified_and_keep_units() -> None:
    labels, groups = np.repeat([0, 1], [50, 30]), np.arange(80) // 2
    fold = folds(SINGLE_LABEL, labels, groups, 5, seed=0)
    assert all(len(set(fold[groups == unit])) == 1 for unit in range(40))
    for label, n in ((0, 10), (1, 6)):
        assert np.bincount(fold[labels == label], minlength=5).tolist() == [n] * 5


def test_a_class_that_cannot_be_learnt_or_judged_is_named() -> None:
    labels, classes = np.array([0, 0, 0, 1, 1, 1]), ["ant", "bee"]
    fine = np.array(["train", "train", "test", "train", "train", "test"])
    assert check_split(SINGLE_LABEL, labels, fine, classes, skipped=[]).state == "clean"
    untested = np.array(["train", "train", "test", "train", "train", "train"])
    finding = check_split(SINGLE_LABEL, labels, untested, classes, skipped=[])
    assert (finding.state, finding.examples) == ("found", [Occurrence((), "bee: none in test")])
    with pytest.raises(InputError, match="the class 'bee' has 3 usable examples, 1 of them to train on"):
        check_split(SINGLE_LABEL, labels, np.array(["train"] * 4 + ["test"] * 2), classes, skipped=[])


@pytest.mark.parametrize(
    ("n_bees", "n_classes", "is_given", "remedies"),
    [
        (3, 2, False, "Add texts of this class or hold out less (val=0, test=0)."),
        (3, 3, False, "Add texts of this class, hold out less (val=0, test=0) or leave the class out (classes)."),
        (3, 2, True, "Add texts of this class or move some of its held-out ones to train."),
        (1, 2, False, "Add texts of this class."),
        (1, 3, True, "Add texts of this class or leave the class out (classes)."),
    ],
)
def test_only_remedies_that_help_are_named(n_bees: int, n_classes: int, is_given: bool, remedies: str) -> None:
    labels = np.array([0] * 4 + [2] * 4 * (n_classes - 2) + [1] * n_bees)
    splits = np.array(["train"] * (len(labels) - n_bees + 1) + ["test"] * (n_bees - 1))
    classes = ["ant", "bee", "cat"][:n_classes]
    with pytest.raises(InputError) as error:
        check_split(SINGLE_LABEL, labels, splits, classes, skipped=[], plural="texts", is_given=is_given)
    assert str(error.value).endswith(remedies.replace("=0", "='0'"))


def test_a_few_shots_are_drawn_by_the_seed_and_leave_the_test_part_alone(tmp_path: Path) -> None:
    rows = "".join(f"text number {i},{'ab'[i % 2]}\n" for i in range(60))
    (tmp_path / "texts.csv").write_text("text,label\n" + rows)
    dataset = load_dataset(tmp_path / "texts.csv")
    digests = [str(i).encode() for i in range(60)]
    everyone = np.arange(60)
    whole = split_dataset(dataset, everyone, digests, val=0.1, test=0.2, seed=0)
    few, more, other = (
        split_dataset(dataset, everyone, digests, val=0.1, test=0.2, seed=seed, shots=shots)
        for seed, shots in ((0, 4), (0, 5), (1, 4))
    )
    assert few.index("test").tolist() == whole.index("test").tolist()
    assert len(few.index("val")) == 0
    assert np.bincount(dataset.labels[few.index("train")]).tolist() == [4, 4]
    assert set(few.index("train")) < set(more.index("train")) < set(whole.index("train"))
    assert set(few.index("train")) != set(other.index("train"))
    with pytest.raises(InputError, match="shots: expected at least 1, got 0"):
        split_dataset(dataset, everyone, digests, val=0.1, test=0.2, seed=0, shots=0)


def test_near_duplicates_stay_together_unless_they_are_much_of_a_class() -> None:
    labels = np.repeat([0, 1], [60, 30])
    dataset = Dataset(
        "test", Path(), [f"{i}.jpg" for i in range(90)], ["a", "b"], labels, SINGLE_LABEL, modality=IMAGE, examples=[]
    )
    digests = [str(i).encode() for i in range(90)]
    usable = np.setdiff1d(np.arange(90), [5])
    pairs = np.array([[i, i + 1] for i in range(10, 30, 2)] + [[0, 60], [70, 71], [71, 72]])
    crowd = np.array([[40, i] for i in range(41, 55)])
    for near in (pairs, np.concatenate([pairs, crowd])):
        division = split_dataset(dataset, usable, digests, val=0.2, test=0.2, seed=0, near=near)
        side = division.split_of_each()
        assert side[5] == ""
        assert all(side[i] == side[j] for i, j in pairs.tolist())
    assert len({side[i] for i in crowd.ravel().tolist()}) == 3


def test_what_has_no_side_yet_is_divided_and_the_rest_stays() -> None:
    labels = np.repeat([0, 1, 2], [100, 60, 40])
    keys = _keys(200)
    given = ["train"] * 60 + ["val"] * 20 + ["test"] * 20 + [""] * 100
    groups = group_ids(None, keys, [(10, 120), (65, 121), (10, 122), (65, 122), (123, 124)])
    parts = _split(labels, keys, groups=groups, given_splits=given, val=0.2, test=0.2)
    assert parts[:100].tolist() == given[:100]
    assert parts[[120, 121, 122]].tolist() == ["val"] * 3  # one unit by way of 122, and what is held out wins
    assert parts[123] == parts[124]
    for label, n in ((1, 57), (2, 40)):
        mine = np.flatnonzero(labels == label)
        mine = mine[~np.isin(mine, [120, 121, 122])]
        assert [(parts[mine] == side).sum() for side in ("train", "val", "test")] == pytest.approx(
            [0.6 * n, 0.2 * n, 0.2 * n], abs=1
        )


def _with_boxes(folder: Path, rows: list[tuple[str, str]]) -> Dataset:
    """One image for each pair of split and class; an empty class is an image without objects."""
    lines = ["path,x1,y1,x2,y2,label,split"]
    for i, (split_name, name) in enumerate(rows):
        draw(folder / f"{i}.jpg", shade=i)
        lines.append(f"{i}.jpg,{'10,20,50,60' if name else ',,,'},{name},{split_name}")
    return load_dataset(write(folder / "boxes.csv", "\n".join(lines)))


def _checked(dataset: Dataset) -> Finding:
    return check_split(
        dataset.task, dataset.labels, np.array(dataset.given_splits), dataset.classes, skipped=[], plural="images"
    )


def test_a_detector_learns_what_it_can_and_the_other_classes_are_named(tmp_path: Path) -> None:
    rows = [("train", "cat")] * 3 + [("train", "dog"), ("train", ""), ("test", "cat"), ("test", "dog"), ("test", "owl")]
    finding = _checked(_with_boxes(tmp_path, rows))
    assert finding.summary == (
        "2 classes have fewer than 2 examples to train on (dog: 1 in train; owl: none in train, cannot be learned)."
    )
    assert [occurrence.note for occurrence in finding.examples] == [
        "dog: 1 in train", "owl: none in train, cannot be learned",
    ]  # fmt: skip


def test_a_detector_without_any_object_to_learn_is_refused(tmp_path: Path) -> None:
    dataset = _with_boxes(tmp_path, [("train", "")] * 3 + [("test", "cat"), ("test", "dog")])
    with pytest.raises(InputError, match="none of the 3 images to train on has an object or label to learn"):
        _checked(dataset)
