"""Writes the files in this folder, with fasttext-wheel 0.9.2 and gensim 4.4, in a separate environment.

``.bin`` and ``.ftz`` are saved by fastText, ``.kv`` and ``.model`` by gensim; ``expected.npz`` contains the vectors of
these libraries for every word, and for words that are not in the list.
"""

from pathlib import Path

import fasttext
import numpy as np
from gensim.models import FastText, Word2Vec

FOLDER = Path(__file__).parent
UNLISTED = ["apple", "café", "日本語", "sweetly!"]
TEXT = """the apples are red and the pears are green
a naïve cook eats the green apples and the sweet pears
the pears are sweet and the apples are sour said the cook
red apples make a sour pie and green pears make a sweet one
"""

if __name__ == "__main__":
    text = FOLDER / "text.txt"
    text.write_text(TEXT * 5, encoding="utf-8")
    settings = {"dim": 6, "bucket": 300, "minCount": 1, "thread": 1}
    model = fasttext.train_unsupervised(str(text), **settings)
    model.save_model(str(FOLDER / "fasttext.bin"))
    text.write_text("".join(f"__label__{i % 2} {line}\n" for i, line in enumerate(TEXT.splitlines() * 5)))
    classifier = fasttext.train_supervised(str(text), **settings, minn=2, maxn=3)
    classifier.save_model(str(FOLDER / "classifier.bin"))
    expected = {
        f"{name}.{kind}": np.stack([fasttext_model.get_word_vector(word) for word in words])
        for name, fasttext_model in (("fasttext.bin", model), ("classifier.bin", classifier))
        for kind, words in (("listed", fasttext_model.words), ("unlisted", UNLISTED))
    }
    classifier.quantize(str(text), retrain=False)
    classifier.save_model(str(FOLDER / "quantized.ftz"))
    text.unlink()
    sentences = [line.split() for line in TEXT.splitlines()] * 5
    plain = Word2Vec(sentences, vector_size=6, min_count=1, workers=1).wv
    subwords = FastText(sentences, vector_size=6, min_count=1, workers=1, bucket=300).wv
    whole = FastText(sentences, vector_size=6, min_count=1, workers=1, bucket=300)
    for gensim_object in (plain, subwords, whole, whole.wv):
        gensim_object.lifecycle_events = None  # no dates and paths
    plain.save(str(FOLDER / "plain.kv"))
    plain.save(str(FOLDER / "divided.kv"), sep_limit=100)
    subwords.save(str(FOLDER / "subwords.kv"))
    whole.save(str(FOLDER / "whole.model"))
    for name, vectors in (("plain.kv", plain), ("divided.kv", plain), ("subwords.kv", subwords)):
        expected[f"{name}.listed"] = vectors.vectors
    expected["subwords.kv.unlisted"] = np.stack([subwords[word] for word in UNLISTED])
    np.savez_compressed(FOLDER / "expected.npz", **expected)
