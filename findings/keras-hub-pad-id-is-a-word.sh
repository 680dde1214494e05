#!/bin/sh
# keras-hub 0.32.0: pad_token_id of the tokenizers of GPT-2, Qwen, Llama 3 and SmolLM3 is 0, the id of a word.
#
# Expected: the id for padding is one that no text has, as tokenizer.pad_token_id of transformers; `ids != pad_token_id`
#   is then the mask of a text, which is how masks are made in many Keras models (Embedding(mask_zero=True), or by hand).
# Seen: pad_token_id is 0, and the vocabularies that these models are published with begin with "!". So the id of every
#   exclamation mark is that of the padding. KerasHub's own preprocessors are right: they return a mask beside the ids.
# Why it matters: with a mask made of the ids, the model does not see any "!", and means over tokens leave it out. Nothing
#   fails; texts full of exclamation marks (reviews, chats) only get other features.
# Source: keras_hub/src/models/gpt2/gpt2_tokenizer.py (`self.pad_token_id = 0`), and the same line for the other models;
#   GPT-2's published vocab.json, whose first entry is "!": 0.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet keras==3.15.1 jax==0.10.2 jaxlib==0.10.2 tokenizers==0.23.3 regex kagglehub==1.0.2
"$work/venv/bin/python" -m pip install --quiet --no-deps keras-hub==0.32.0
cd "$work"
KERAS_BACKEND=jax "$work/venv/bin/python" - <<'PYTHON' 2>errors || { tail -5 errors; exit 1; }
import keras_hub
import numpy as np

# The first characters of GPT-2's vocabulary, in its order.
vocabulary = {character: i for i, character in enumerate([*map(chr, range(33, 127)), "Ġ", "<|endoftext|>"])}
tokenizer = keras_hub.models.GPT2Tokenizer(vocabulary=vocabulary, merges=[])
ids = np.asarray(tokenizer("good!!"))
preprocessor = keras_hub.models.GPT2Preprocessor(tokenizer, sequence_length=8, add_start_token=False, add_end_token=False)
output = preprocessor("good!!")
by_hand = np.asarray(output["token_ids"]) != tokenizer.pad_token_id
own = np.asarray(output["padding_mask"]).astype(bool)
print(f"pad_token_id: {tokenizer.pad_token_id}; ids of 'good!!': {ids.tolist()}")
print(f"tokens by the preprocessor's mask: {own.sum()}; by ids != pad_token_id: {by_hand.sum()}")
assert (tokenizer.pad_token_id, ids[-1], own.sum(), by_hand.sum()) == (0, 0, 6, 4)
PYTHON
