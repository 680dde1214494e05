"""Makes the files beside it, with fasttext-wheel 0.9.2 and gensim 4.4, in an environment of their own.

``.bin`` and ``.ftz`` are saved by fastText, ``.kv`` and ``.model`` by gensim; ``expected.npz`` has the vectors that the
two give for every word, and for words that are not in the list.
"""

from pathlib import Path

import fasttext
import numpy as np
from gensim.models import FastText, Word2Vec

HERE = Path(__file__).parent
UNLISTED = ["apple", "café", "日本語", "sweetly!"]
TEXT = """the apples are red and the pears are green
a naïve cook eats the green apples and the sweet pears
the pears are sweet and the apples are sour said the cook
red apples make a sour pie and green pears make a sweet one
"""

if __name__ == "__main__":
    text = HERE / "text.txt"
    text.write_text(TEXT * 5, encoding="utf-8")
    settings = {"dim": 6, "bucket": 300, "minCount": 1, "thread": 1}
    model = fasttext.train_unsupervised(str(text), **settings)
    model.save_model(str(HERE / "fasttext.bin"))
    text.write_text("".join(f"__label__{i % 2} {line}\n" for i, line in enumerate(TEXT.splitlines() * 5)))
    classifier = fasttext.train_supervised(str(text), **settings, minn=2, maxn=3)
    classifier.save_model(str(HERE / "classifier.bin"))
    expected = {
        f"{name}.{kind}": np.stack([one.get_word_vector(word) for word in words])
        for name, one in (("fasttext.bin", model), ("classifier.bin", classifier))
        for kind, words in (("listed", one.words), ("unlisted", UNLISTED))
    }
    classifier.quantize(str(text), retrain=False)
    classifier.save_model(str(HERE / "quantized.ftz"))
    text.unlink()
    sentences = [line.split() for line in TEXT.splitlines()] * 5
    plain = Word2Vec(sentences, vector_size=6, min_count=1, workers=1).wv
    subwords = FastText(sentences, vector_size=6, min_count=1, workers=1, bucket=300).wv
    whole = FastText(sentences, vector_size=6, min_count=1, workers=1, bucket=300)
    for one in (plain, subwords, whole, whole.wv):
        one.lifecycle_events = None  # no dates and paths
    plain.save(str(HERE / "plain.kv"))
    plain.save(str(HERE / "divided.kv"), sep_limit=100)
    subwords.save(str(HERE / "subwords.kv"))
    whole.save(str(HERE / "whole.model"))
    for name, vectors in (("plain.kv", plain), ("divided.kv", plain), ("subwords.kv", subwords)):
        expected[f"{name}.listed"] = vectors.vectors
    expected["subwords.kv.unlisted"] = np.stack([subwords[word] for word in UNLISTED])
    np.savez_compressed(HERE / "expected.npz", **expected)
