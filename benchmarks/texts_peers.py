"""The contenders for texts: a transformer fine-tuned as its tutorial does, SetFit, sentence-transformers, TF-IDF.

    PEERS_PYTHON benchmarks/texts_peers.py fine-tune --checkpoint FOLDER --split-csv split.csv --out result.json

``fine-tune`` is the tutorial of text classification by Hugging Face in plain torch: AutoModelForSequenceClassification
with a new head, AdamW at 2e-5 with a linear decay, 3 epochs, batches of 32 padded to their longest, at most 128 tokens.
``setfit`` is SetFit's quick start at its own defaults: pairs, one epoch, a logistic regression. ``encode`` is
``SentenceTransformer.encode``, once over all texts. ``tf-idf`` is the floor: scikit-learn's logistic regression on
words and pairs of words, without anything pretrained; it needs nothing but scikit-learn.

The others run in an environment of their own, with nothing of headstart in it:

    pip install torch transformers setfit
"""

import time

_STARTED = time.perf_counter()  # before the imports below, which are part of what a user waits for

import argparse  # noqa: E402
import csv  # noqa: E402
import json  # noqa: E402
import tempfile  # noqa: E402
from collections.abc import Iterator, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

Rows = Sequence[dict[str, str]]

EPOCHS, BATCH, RATE, MAX_LENGTH = 3, 32, 2e-5, 128


def fine_tune(checkpoint: Path, train: Rows, test: Rows, seed: int) -> dict[str, Any]:
    """Train the whole network and answer for the test texts."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

    torch.manual_seed(seed)
    names = sorted({row["label"] for row in train})
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, num_labels=len(names))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    steps = EPOCHS * -(-len(train) // BATCH)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, steps)

    def batches(rows: Rows, order: Sequence[int]) -> Iterator[tuple[Any, Rows]]:
        for start in range(0, len(order), BATCH):
            mine = [rows[i] for i in order[start : start + BATCH]]
            texts = [row["text"] for row in mine]
            yield tokenizer(texts, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"), mine

    model.train()
    for _ in range(EPOCHS):
        for inputs, mine in batches(train, torch.randperm(len(train)).tolist()):
            labels = torch.tensor([names.index(row["label"]) for row in mine])
            model(**inputs, labels=labels).loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    model.eval()
    said: list[str] = []
    with torch.no_grad():
        for inputs, _ in batches(test, range(len(test))):
            said += [names[i] for i in model(**inputs).logits.argmax(1).tolist()]
    return {"said": said}


def setfit(checkpoint: Path, train: Rows, test: Rows, seed: int) -> dict[str, Any]:
    """Contrastive training on pairs, then a logistic regression."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    names = sorted({row["label"] for row in train})
    data = Dataset.from_dict(
        {"text": [row["text"] for row in train], "label": [names.index(row["label"]) for row in train]}
    )
    model = SetFitModel.from_pretrained(str(checkpoint))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(folder, seed=seed, save_strategy="no", report_to="none", show_progress_bar=False)
        Trainer(model=model, args=arguments, train_dataset=data).train()
    return {"said": [names[int(i)] for i in model.predict([row["text"] for row in test])]}


def tf_idf(checkpoint: Path, train: Rows, test: Rows, seed: int) -> dict[str, Any]:
    """Nothing pretrained."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )
    model.fit([row["text"] for row in train], [row["label"] for row in train])
    return {"said": [str(name) for name in model.predict([row["text"] for row in test])]}


def encode(checkpoint: Path, train: Rows, test: Rows, seed: int) -> dict[str, Any]:
    """The frozen encoder alone."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(checkpoint))
    started = time.perf_counter()
    model.encode([row["text"] for row in (*train, *test)])
    return {"texts_per_s": (len(train) + len(test)) / (time.perf_counter() - started)}


WORK = {"fine-tune": fine_tune, "setfit": setfit, "tf-idf": tf_idf, "encode": encode}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=WORK)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the encoder")
    parser.add_argument("--split-csv", type=Path, required=True, help="columns text, label, split (train, val, test)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the figures")
    options = parser.parse_args()
    with open(options.split_csv, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    train, test = ([row for row in rows if row["split"] == side] for side in ("train", "test"))
    figures = {
        **WORK[options.what](options.checkpoint, train, test, options.seed),
        "wall_s": time.perf_counter() - _STARTED,
    }
    if "said" in figures:
        figures["right"] = sum(row["label"] == name for row, name in zip(test, figures.pop("said"), strict=True))
        figures["of"] = len(test)
    options.out.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
