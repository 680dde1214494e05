#!/bin/sh
# transformers 5.24.0 (with tokenizers 0.23.3): classes such as BertTokenizer ignore parts of tokenizer.json.
#
# Expected: tokenizer.json is the whole tokenizer. The package `tokenizers`, transformers 4 and other readers of the file
#   (text-embeddings-inference, transformers.js) give the same ids for it.
# Seen: if tokenizer_config.json names BertTokenizer(Fast), transformers 5 takes the vocabulary and the post-processor
#   from the file, and builds the normalizer and the pre-tokenizer anew from the arguments of its class. Steps that only
#   the file has (here NFKC, and digits one by one) are dropped without a warning. With PreTrainedTokenizerFast as the
#   class, the same file is used as it is.
# Why it matters: an upgrade of transformers changes the token ids of a model that was trained with a tokenizer of its
#   own under BERT's class name; nothing fails, the words only become [UNK], and the accuracy falls.
# Source: transformers/tokenization_utils_tokenizers.py, TokenizersBackend.convert_to_native_format;
#   https://github.com/huggingface/transformers/blob/main/MIGRATION_GUIDE_V5.md
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/five"
python3 -m venv "$work/four"
"$work/five/bin/python" -m pip install --quiet transformers==5.24.0 tokenizers==0.23.3
"$work/four/bin/python" -m pip install --quiet transformers==4.57.6

cat >"$work/make.py" <<'PYTHON'
import json, sys
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "abc", *"0123456789"]
tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
steps = [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
for name in ("BertTokenizerFast", "PreTrainedTokenizerFast"):
    folder = Path(sys.argv[1], name)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": name, "do_lower_case": True, "unk_token": "[UNK]", "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
PYTHON
cat >"$work/read.py" <<'PYTHON'
import sys

import tokenizers, transformers

folder, text = sys.argv[1], "ＡＢＣ abc 2026"
if sys.argv[2] == "file":
    print(tokenizers.Tokenizer.from_file(folder + "/tokenizer.json").encode(text).tokens)
else:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    print(tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"]))
PYTHON
read_by() { "$work/$1/bin/python" "$work/read.py" "$work/$2" "$3" 2>/dev/null; }
"$work/five/bin/python" "$work/make.py" "$work"
file=$(read_by five BertTokenizerFast file)
four=$(read_by four BertTokenizerFast class)
five=$(read_by five BertTokenizerFast class)
fast=$(read_by five PreTrainedTokenizerFast class)
echo "tokenizer.json itself:                      $file"
echo "transformers 4.57.6, BertTokenizerFast:     $four"
echo "transformers 5.24.0, BertTokenizerFast:     $five"
echo "transformers 5.24.0, PreTrainedTokenizerF.: $fast"
[ "$file" = "$four" ] && [ "$file" = "$fast" ] && [ "$five" = "['[UNK]', 'abc', '[UNK]']" ]
