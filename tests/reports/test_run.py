"""The report: complete in itself, safe with hostile names, and whole whatever is missing."""

import base64
import csv
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.data.audit import Finding, Occurrence
from headstart.errors import InputError
from headstart.reports import plots
from headstart.reports.page import percent
from headstart.reports.run import write_report

GOLDEN = sorted((Path(__file__).parent.parent / "files" / "runs").glob("v*-images"))[-1]
"""A run of the newest format: what a made run does not set is as there, fields that are added later included."""
FACTS, FIGURES = (json.loads((GOLDEN / name).read_text(encoding="utf-8")) for name in ("run.json", "metrics.json"))
HOSTILE = '<script>alert("1")</script>&{{ 7*7 }}'
PREDICTIONS = ("split", "file", "label", "predicted", "probability", "label_probability", "sha256")
HISTORY = ("phase", "epoch", "l2", "loss", "accuracy", "val_loss", "val_accuracy")
TUNING = FACTS["fine_tuning"]
VERDICT = {**TUNING, "outcome": "not tried", "reason": "", "on_folds": None, "on_val": None, "on_test": None}
VOID = {"meta", "img", "br", "col", "link", "input", "hr", "wbr"}


def interval(value: float | None) -> dict[str, float | None]:
    return {
        "value": value,
        "low": value and max(0.0, value - 0.0321),
        "high": None if value is None else min(1, value + 0.02),
    }


def figures_of(counts: np.ndarray, classes: list[str]) -> dict[str, Any]:
    support, said, hits = counts.sum(1), counts.sum(0), np.diag(counts)
    accuracy = float(hits.sum() / counts.sum())
    golden = FIGURES["splits"]["test"]
    of_class, bins = next(iter(golden["per_class"].values())), golden["reliability"]
    return {
        **golden,
        "examples": int(counts.sum()),
        "resamples": 1000,
        "metrics": {
            **golden["metrics"],
            "accuracy": interval(accuracy),
            "balanced_accuracy": interval(0.8765),
            "macro_f1": interval(0.7654),
            "log_loss": interval(0.2345),
            "ece": interval(0.0456),
        },
        "per_class": {
            name: {
                **of_class,
                "support": int(support[i]),
                "precision": interval(float(hits[i] / said[i]) if said[i] else None),
                "recall": interval(float(hits[i] / support[i]) if support[i] else None),
                "f1": interval(float(2 * hits[i] / (said[i] + support[i])) if support[i] else None),
            }
            for i, name in enumerate(classes)
        },
        "confusion_matrix": counts.tolist(),
        "reliability": [
            *({**each, "count": 0, "confidence": None, "accuracy": None} for each in bins[:-1]),
            {**bins[-1], "count": int(counts.sum()), "confidence": 0.97, "accuracy": accuracy},
        ],
    }


def confusion(k: int, each: int = 20, wrong: int = 1) -> np.ndarray:
    counts = np.diag(np.full(k, each - wrong))
    counts[np.arange(k), (np.arange(k) + 1) % k] += wrong
    return counts


def write_csv(path: Path, header: tuple[str, ...], rows: list[Any]) -> None:
    with open(GOLDEN / path.name, newline="", encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, first)
        writer.writeheader()
        writer.writerows({**first, **dict(zip(header, row, strict=True))} for row in rows)


def predictions_of(split: str, counts: np.ndarray, classes: list[str]) -> list[list[str]]:
    rows = []
    for i, label in enumerate(classes):
        for j, predicted in enumerate(classes):
            for n in range(int(counts[i, j])):
                file = f"photos/{i % 7}.png" if n % 2 == 0 else "photos/gone.png"
                own = "0.912000" if i == j else "0.051000"
                rows.append([split, file, label, predicted, "0.912000", own, ""])
    return rows


def make_run(folder: Path, classes: list[str], counts: np.ndarray, kind: str = "linear") -> Path:
    """A run folder as ``headstart train`` leaves it, less the model."""
    run, photos = folder / "runs" / "pets", folder / "photos"
    run.mkdir(parents=True)
    photos.mkdir(exist_ok=True)
    for i in range(7):
        pixels = np.full((40 + 10 * i, 300, 3), (30 * i, 90, 200 - 20 * i), np.uint8)
        Image.fromarray(pixels).save(photos / f"{i}.png")
    sizes = {"train": 5, "val": 1, "test": 1}
    per_class = dict(zip(classes, counts.sum(1).tolist(), strict=True))
    total = int(counts.sum())
    base, data = FACTS["base"], FACTS["data"]
    of_split = data["splits"]["test"]
    facts = {
        **FACTS, "created": "2026-11-24T03:47:15+00:00", "name": "pets", "classes": classes, "files": {}, "seed": 42,
        "base": {
            **base, "handle": "embedded:efficientnet-lite0",
            "spec": {**base["spec"], "handle": "embedded:efficientnet-lite0"},
            "weights_sha256": "57" * 32, "licence": "Apache-2.0", "input_size": [224, 192], "feature_dim": 1280,
            "preprocessing": {**base["preprocessing"], "name": "(x-127)/128", "scale": 1 / 128, "offset": -127 / 128},
        },
        "data": {
            **data, "source": "/photos", "root": str(folder), "path": "/photos", "examples": 7 * total,
            "splits": {
                split: {**of_split, "examples": n * total, "per_class": {name: n * m for name, m in per_class.items()}}
                for split, n in sizes.items()
            },
        },
        "audit": [
            Finding("unreadable", "clean", "Every file was read.").facts(),
            Finding("exact-duplicates", "found", "2 files are copies.", [Occurrence(("a", "b"))]).facts(),
            Finding("groups-across-splits", "not applicable", "No groups.").facts(),
        ],
        "head_settings": {**FACTS["head_settings"], "head": kind, "dense": [256, 128] if kind == "mlp" else []},
        "head": {
            **FACTS["head"], "kind": kind, "l2": 0.0316 if kind == "linear" else None,
            "units": [256, 128] if kind == "mlp" else [], "epochs": 3 if kind == "mlp" else None,
        },
        "label_issues": None, "learning_curve": None, "selective_prediction": None, "out_of_distribution": None,
        "fine_tuning": {**VERDICT, "process": None},
        "freeze_proof": {**FACTS["freeze_proof"], "tensors": 245, "statistics": 98},
        "cost": {
            **FACTS["cost"], "wall_s": 3723.0, "peak_memory_mb": 1623.1, "examples_computed": 1399,
            "stages": [{"stage": "features", "seconds": 3500.0}, {"stage": "head", "seconds": 150.25}],
        },
    }  # fmt: skip
    splits = {split: figures_of(n * counts, classes) for split, n in sizes.items()}
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    (run / "metrics.json").write_text(json.dumps({**FIGURES, "headline": "test", "splits": splits}), encoding="utf-8")
    rows = [row for split, n in sizes.items() for row in predictions_of(split, n * counts, classes)]
    write_csv(run / "predictions.csv", PREDICTIONS, rows)
    write_csv(run / "skipped.csv", ("file", "reason"), [(f"bad-{i}.jpg", "empty: 0 bytes") for i in range(53)])
    if kind == "linear":
        losses = [(1.0, 0.0633), (0.0316, 0.0349), (0.001, 0.0372), (0.00001, 0.2)]
        history = [("cross-validation", "", s, "", "", loss, 0.98) for s, loss in losses]
    else:
        history = [("head", e, "", 0.3 / e, 0.8 + e / 20, 0.31 / e, 0.9) for e in (1, 2, 3)]
    write_csv(run / "history.csv", HISTORY, history)
    return run


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def replace_predictions(run: Path, rows: list[list[str]]) -> None:
    """Let a run have these rows about the test split, and no others."""
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    edit(run / "run.json", data={**facts["data"], "examples": len(rows)})
    write_csv(run / "predictions.csv", PREDICTIONS, rows)


class Page(HTMLParser):
    """Checks that elements are nested properly, and collects what would be fetched or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, content in attrs:
            if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
                self.addresses.append(content or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(run: Path) -> str:
    path = write_report(run)
    assert path == run / "report.html"
    return path.read_text(encoding="utf-8")


def words(page: str) -> str:
    """What a reader sees, with plain spaces."""
    visible = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return (
        re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", visible.replace("<wbr>", ""))).replace(" ,", ",").replace(" .", ".")
    )


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return make_run(tmp_path, ["cat", "dog", "fox"], confusion(3))


def test_the_page_is_well_formed_and_fetches_and_runs_nothing(made: Path) -> None:
    text = read(made)
    page = Page(text)
    assert page.open == []
    assert not {"script", "iframe", "object", "embed", "link", "form"} & set(page.tags)
    assert not page.handlers
    assert page.addresses
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in page.addresses)
    assert not re.search(r"https?://|url\(|@import", text)
    assert "default-src 'none'" in text


def test_every_section_link_leads_somewhere(made: Path) -> None:
    text = read(made)
    for address in Page(text).addresses:
        if address.startswith("#"):
            assert f'id="{address[1:]}"' in text


def test_a_real_run_and_its_evaluation_are_told(run: hs.Run, photos: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.folder, tmp_path / "photos"))
    figures = run.figures.splits["test"]
    text = read(folder)
    said = words(text)
    right = int(np.trace(figures.confusion_matrix))
    assert f"On {figures.examples} test images not used in training, the model was right for {right}" in said
    for metric in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"):
        assert f"{figures.metrics[metric].value:.3f}" in said
    assert "base verified unchanged" in said
    assert Page(text).open == []
    assert read(folder) == text
    evaluated = words((hs.evaluate(folder, photos).folder / "report.html").read_text(encoding="utf-8"))
    assert "Evaluation of photos on photos" in evaluated
    assert "Some of these images were used in training." in evaluated
    assert "not used in training" not in evaluated


def test_the_first_lines_say_how_good_it_is(made: Path) -> None:
    text = words(read(made))
    assert "95.0 % accuracy, 95 % interval 91.8 % to 97.0 %" in text
    assert "On 60 test images not used in training, the model was right for 57 and wrong for 3" in text
    assert "Always predicting “ cat ” would be right for 33.3 %" in text
    for chip in ("embedded:efficientnet-lite0", "3 classes", "420 images", "1 h 02 min", "✓ base verified unchanged"):
        assert chip in text


def test_all_figures_are_shown_with_their_intervals(made: Path) -> None:
    text = words(read(made))
    for name, value, low in (
        ("Accuracy", "0.950", "0.918"),
        ("Balanced accuracy", "0.876", "0.844"),
        ("Macro F1", "0.765", "0.733"),
        ("Log loss", "0.234", "0.202"),
        ("ECE", "0.046", "0.014"),
    ):
        row = text[text.index(f" {name} ") :][:200]
        assert value in row
        assert low in row
    for split in ("test 60 images", "validation 60 images", "training 300 images"):
        assert split in text
    assert "“ cat ” predicted as “ dog ”, 1 of 20 images (5.0 %)" in text


def test_provenance_and_cost_are_shown(made: Path) -> None:
    text = words(read(made))
    for said in (
        "245 tensors, 98 of them BatchNorm statistics, were compared by digest before and after training: "
        "0 of 245 frozen tensors changed",
        "57" * 32, "Apache-2.0", "224 × 192 pixels", "1,280 per image", "openvino, float32", "keras 3.15.1", "seed 42",
        "1,623 MB", "1,399", "58 min 20 s", "2 min 30 s", "writing the run 1 min 13 s",
        "2 files are copies.", "HS031 exact-duplicates", "Not applicable: HS037", "53 files left out",
        "Another 3 in skipped.csv",
    ):  # fmt: skip
        assert said in text, said
    assert text.count("empty: 0 bytes") == 50


def tuning(outcome: str) -> dict[str, Any]:
    compared = {
        **TUNING["on_val"], "examples": 60, "metric": "accuracy", "value": [0.8, 0.95], "log_loss": [0.61, 0.234],
        "fixed": 11, "regressed": 2, "p_value": 0.02, "value_gain": [0.05, 0.25], "loss_gain": [0.2, 0.5],
    }  # fmt: skip
    process = {
        **TUNING["process"], "blocks": ["block4", HOSTILE], "views": 3, "epochs": 2, "seconds": 95.0,
        "stopped": "all epochs done", "best_epoch": 2, "slowed": 0,
    }  # fmt: skip
    return {
        **TUNING, "outcome": outcome, "reason": f"Because {HOSTILE}.", "on_folds": None, "on_val": compared,
        "on_test": {**compared, "fixed": 777}, "process": process,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "said"), [("kept", "The fine-tuned model was kept."), ("not better", "The head alone was kept.")]
)
def test_whether_fine_tuning_helped_is_shown_with_both(made: Path, outcome: str, said: str) -> None:
    edit(made / "run.json", fine_tuning=tuning(outcome))
    rows = [("fine-tuning", e, "", 0.5 - e / 9, 0.8 + e / 20, 0.61 - e / 10, 0.9) for e in (0, 1, 2)]
    write_csv(made / "history.csv", HISTORY, rows)
    page = read(made)
    text = words(page)
    assert HOSTILE not in page
    for part in (
        said, "80.0 % 95.0 % +15.0 +5.0 to +25.0 11 2", "0.610 0.234 -0.376 -0.500 to -0.200", "777",
        "2 blocks, block4 to", "on 4 views of each image; 2 epochs in 1 min 35 s (all epochs done)",
        "Validation loss was lowest after epoch 2; epoch 0 is the head alone.",
    ):  # fmt: skip
        assert part in text, part


def test_why_fine_tuning_was_not_tried_is_shown_and_silence_where_it_was_not_asked_for(made: Path) -> None:
    edit(made / "run.json", fine_tuning={**VERDICT, "reason": "Too few mistakes.", "process": None})
    assert "Fine-tuning was not tried. Too few mistakes." in words(read(made))
    edit(made / "run.json", fine_tuning={**VERDICT, "process": None})
    assert "Did fine-tuning help" not in read(made)


def test_the_tensors_that_were_fine_tuned_are_no_part_of_the_proof(made: Path) -> None:
    edit(made / "run.json", freeze_proof={**FACTS["freeze_proof"], "tensors": 145, "trained": 100})
    text = words(read(made))
    assert "Proof that the rest of the base stayed frozen" in text
    assert "0 of 145 frozen tensors changed. The other 100 were fine-tuned." in text


def test_the_commands_can_be_copied(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.parent.parent)
    text = words(read(made)).replace("&#34;", '"')
    assert "headstart predict runs/pets image.jpg" in text
    assert "headstart evaluate runs/pets folder/" in text
    assert 'headstart.load("runs/pets").predict("image.jpg")' in text
    assert 'keras.models.load_model("runs/pets/model.keras")' in text


def test_the_commands_name_the_run_even_while_it_is_being_written(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.parent)
    partial = made.rename(made.parent / ".pets-x7f2")
    assert "headstart predict pets image.jpg" in words(read(partial))


def test_mistakes_come_with_pictures_and_placeholders(made: Path) -> None:
    text = read(made)
    assert text.count("data:image/jpeg;base64,") == 3
    assert 'alt="image of cat, predicted as dog"' in text
    (made.parent.parent / "photos" / "1.png").write_bytes(b"no picture")
    (made.parent.parent / "photos" / "2.png").unlink()
    text = read(made)
    assert text.count("data:image/jpeg;base64,") == 1
    assert text.count("image not found") == 2


def test_where_it_looked_is_beside_its_mistakes(made: Path) -> None:
    (made / "heat.json").write_text(
        json.dumps({"cells": [0, 0, 1, 1], "evidence": {"photos/0.png": [[-100, 100], [-20, 5]]}})
    )
    text = read(made)
    assert text.count("data:image/jpeg;base64,") == 4
    assert "bright regions are evidence for the prediction" in words(text)
    beside = text[text.index('alt="heat map: ') - 20_000 :].split('<img src="data:image/jpeg;base64,')
    heat = next(part for part in beside if 'alt="heat map: ' in part).split('"')[0]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(heat)))).astype(int)
    colour = np.ptp(pixels, axis=2)
    assert colour[5, -20] > 80  # the right upper corner
    assert colour[:, :40].max() < 30


def test_pictures_stand_upright(made: Path) -> None:
    lying = Image.fromarray(np.zeros((30, 90, 3), np.uint8))
    exif = lying.getexif()
    exif[0x0112] = 6
    lying.save(made.parent.parent / "photos" / "0.png", exif=exif)
    replace_predictions(made, [["test", "photos/0.png", "cat", "dog", "0.9", "0.1", ""]])
    (address,) = [one for one in Page(read(made)).addresses if one.startswith("data:")]
    assert Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).size == (30, 90)


def test_no_mistakes_is_said(tmp_path: Path) -> None:
    text = words(read(make_run(tmp_path, ["cat", "dog"], confusion(2, wrong=0))))
    assert "the model was right for 40." in text
    assert "No mistakes: all 40 test images were classified correctly." in text
    assert "No confusions: all predictions are correct." in text
    assert " 100.0 % accuracy" in text


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    other = "b\x00d'\"><img src=x onerror=alert(1)>"
    run = make_run(tmp_path, [HOSTILE, other], confusion(2))
    edit(run / "run.json", name=HOSTILE, versions={HOSTILE: HOSTILE})
    write_csv(run / "skipped.csv", ("file", "reason"), [(HOSTILE, HOSTILE)])
    replace_predictions(run, [["test", f"{HOSTILE}\udcff.png", HOSTILE, other, "0.9", "0.1", ""]])
    text = read(run)
    page = Page(text)
    assert "script" not in page.tags
    assert not page.handlers
    assert all(address.startswith("#") for address in page.addresses)
    assert "&lt;script&gt;alert" in text
    assert "&amp;{{ 7*7 }}" in text


def test_long_names_break_between_words(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["with_mask", "a<b_c"], confusion(2))
    write_csv(run / "skipped.csv", ("file", "reason"), [("photos/with-mask.txt", "empty: 0 bytes")])
    text = read(run)
    assert "with_<wbr>mask" in text
    assert "a&lt;b_<wbr>c" in text
    assert "photos/<wbr>with-<wbr>mask.<wbr>txt" in text


def test_a_dense_head_has_curves(tmp_path: Path) -> None:
    text = read(make_run(tmp_path, ["cat", "dog"], confusion(2), kind="mlp"))
    assert "3 epochs; validation loss was lowest after epoch 3, 0.103" in words(text)
    assert 'aria-label="Loss over 3 epochs' in text
    assert 'aria-label="Accuracy over 3 epochs' in text
    assert "hidden layers of 256, 128" in words(text)


def test_a_linear_head_shows_its_l2_values(made: Path) -> None:
    text = read(made)
    assert "4 L2 values tried; 0.0316 was best, with log loss 0.035 and accuracy 0.980" in words(text)
    assert "10⁻⁵" in text


@pytest.mark.parametrize("k", [1, 2, 12])
def test_small_matrices_have_numbers(tmp_path: Path, k: int) -> None:
    text = read(make_run(tmp_path, [f"class {i}" for i in range(k)], confusion(k)))
    assert text.count('<th scope="row"><bdi>class 0</bdi></th><td class="right deep deepest"') == 1
    assert 'class="heat"' not in text


def test_many_classes_stay_readable(tmp_path: Path) -> None:
    run = make_run(tmp_path, [f"species {i:03}" for i in range(200)], confusion(200))
    text = read(run)
    assert (run / "report.html").stat().st_size < 1_500_000
    assert 'class="heat"' in text
    assert "a cell stands for 2 × 2 neighbouring classes" in text
    assert text.count("The other 170 classes") == 2
    assert "24 of 200" in words(text)


def test_a_thousand_classes_do_not_explode() -> None:
    counts = np.random.default_rng(0).poisson(0.05, (1000, 1000)) + np.diag(np.full(1000, 40))
    assert len(plots.matrix(counts)) < 300_000
    assert plots.block_size(1000) == 10


def test_an_evaluation_says_so_and_leaves_out_the_training(made: Path) -> None:
    finding = Finding("seen-in-training", "found", "5 of 60 pictures.", [Occurrence(("a.jpg",))]).facts()
    (made / "history.csv").unlink()
    figures = json.loads((made / "metrics.json").read_text())
    split = figures["splits"]["test"]
    metrics = {**split["metrics"], "accuracy": interval(0.9)}
    leak_free = {"examples": 55, "removed": 5, "metrics": {**split, "examples": 55, "metrics": metrics}}
    edit(made / "metrics.json", headline="held-out", splits={"held-out": split}, leak_free=leak_free)
    data = json.loads((made / "run.json").read_text())["data"]
    edit(
        made / "run.json",
        kind="evaluation", name="street", evaluation_of="runs/pets", audit=[finding], config=None, head_settings=None,
        head=None, fine_tuning=None, calibration=None, freeze_proof=None, golden=None,
        data={**data, "digest": None, "splits": {"held-out": data["splits"]["test"]}},
    )  # fmt: skip
    replace_predictions(made, predictions_of("held-out", confusion(3), ["cat", "dog", "fox"]))
    text = read(made)
    said = words(text)
    assert "<title>Evaluation of pets on street · headstart</title>" in text
    assert "On 60 labelled images from /photos, the model was right for 57" in said
    assert "Some of these images were used in training." in said
    assert "accuracy 90.0 % (86.8 % to 92.0 %) on 55 images" in said
    assert "without those seen in training" in said
    assert "base verified unchanged" not in said
    assert 'id="training"' not in text
    assert Page(text).open == []


@pytest.mark.parametrize("headline", ["val", "train"])
def test_another_headline_is_not_called_a_test(made: Path, headline: str) -> None:
    edit(made / "metrics.json", headline=headline)
    text = words(read(made))
    assert "not used in training" not in text
    expected = {"val": "validation images, held out from training", "train": "training images, the model"}
    assert expected[headline] in text


def test_what_is_no_run_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "nothing-here"
    with pytest.raises(InputError, match="nothing-here is not a run"):
        write_report(folder)


@pytest.mark.parametrize(
    ("share", "shown"), [(1.0, "100.0 %"), (0.99999, "99.9 %"), (0.5, "50.0 %"), (0, "0.0 %"), (None, "–")]
)
def test_percent(share: float | None, shown: str) -> None:
    assert percent(share).replace("\u202f", " ") == shown


@pytest.mark.parametrize(
    ("lowest", "highest", "labels"),
    [
        (1e-6, 1e2, ["10⁻⁶", "10⁻⁵", "10⁻⁴", "0.001", "0.01", "0.1", "1", "10", "100"]),
        (2e-4, 2e-2, ["0.001", "0.01"]),
        (2e-3, 2e-2, ["0.003", "0.01"]),
        (1.2e-5, 4e-5, ["10⁻⁵", "3·10⁻⁵"]),
        (0.05, 0.05, ["0.04", "0.05", "0.06"]),
        (3e-5, 3e-5, ["3·10⁻⁵"]),
    ],
)
def test_the_axis_of_l2_has_ticks_at_round_values(lowest: float, highest: float, labels: list[str]) -> None:
    values = [lowest, (lowest * highest) ** 0.5, highest] if lowest < highest else [lowest]
    points = [{"l2": l2, "val_loss": 0.3 + 0.01 * i, "val_accuracy": 0.9} for i, l2 in enumerate(values)]
    ticks = re.findall(r'class="tick middle"[^>]*>([^<]+)<', plots.l2_curve(points, lowest))
    assert ticks == labels
