"""The tokenizer of a Hugging Face model, as ``tokenizer.json``, so that its ids equal those of transformers.

``tokenizer.json`` alone is not enough: transformers also reads ``tokenizer_config.json`` and ``added_tokens.json``,
and some of its classes ignore parts of ``tokenizer.json``: since version 5, BERT's class replaces the normalizer and
the pre-tokenizer in the file by its own. Where the files state the same, or one of them is explicit, headstart follows
them. Where the result would depend on the version of transformers, the tokenizer is refused.

Sources: transformers 4.57 and 5.24, ``tokenization_utils_tokenizers`` and the classes named below.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headstart.bases.image_processor import read_json
from headstart.errors import InputError
from headstart.system.extras import require

_FILE, _CONFIG = "tokenizer.json", "tokenizer_config.json"
_CLASS_OF_KIND = {
    "bert": "Bert", "distilbert": "DistilBert", "electra": "Electra", "mpnet": "MPNet", "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta", "camembert": "Camembert", "gpt2": "GPT2", "albert": "Albert",
}  # fmt: skip
"""``model_type`` -> the class of its tokenizer, where ``tokenizer_config.json`` names none."""

_ANY_LENGTH = 1_000_000  # tokens: the length comes from the model, only the side is stated here
_WORD_PIECES = ("Bert", "DistilBert", "Electra", "MPNet")
_BYTE_PAIRS = ("Roberta", "GPT2")
_SENTENCE_PIECES = ("XLMRoberta", "Camembert")
_SETTINGS = {
    "lowercase": "do_lower_case",
    "strip_accents": "strip_accents",
    "handle_chinese_chars": "tokenize_chinese_chars",
}
"""Settings of the word pieces' normalizer in ``tokenizer.json`` -> in ``tokenizer_config.json``."""


TEST_TEXTS = (
    "the film was good, but its 2nd half isn't!",
    "One  more text",
    " spaces around\tand a tab\nand a line ",
    "Zürich, naïve CAFÉ: déjà vu",
    "日本語のテキスト。東京は大きい",
    "ภาษาไทยไม่มีช่องว่าง",
    "한국어 문장, русский ТЕКСТ, Ελληνικά, العربية",
    "we're I'll (x) {y} 1,234.56 % https://x.org/z?q=1#a @user",
)
"""Texts in several scripts, for which two tokenizers are compared."""


def read(folder: Path, source: str) -> str:
    """Read a model's tokenizer; returns the content of its ``tokenizer.json``.

    Args:
        folder: of the model.
        source: of the model, for messages.

    Raises:
        InputError: it has none, or its ids would not be certain.
        UnavailableError: the package ``tokenizers`` is not installed.
    """
    settings = read_json(folder / _CONFIG)
    if "AutoTokenizer" in (settings.get("auto_map") or {}):
        raise InputError(f"{source} has a tokenizer with code of its own, which headstart never runs.")
    kind = _class_name(folder, settings)
    path = folder / _FILE
    if path.is_file():
        content = path.read_text(encoding="utf-8")
        content = _follow_settings(content, kind, settings, source)
    elif kind in _WORD_PIECES[:3] and (folder / "vocab.txt").is_file():
        content = _from_vocabulary(folder, settings, source)
    else:
        raise InputError(
            f"{folder} has no tokenizer: expected {_FILE}, or vocab.txt for BERT's own tokenizer (this one is for "
            f"{kind}Tokenizer). Where transformers can convert it, this writes the file: "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)."
        )
    return _with_truncation_side(_with_added_tokens(content, folder, settings), settings)


def padding_id(folder: Path, content: str, default: int) -> int:
    """The id for padding, which no word has.

    It is the configuration's ``pad_token_id``, unless the tokenizer has another token for padding: then the id in the
    configuration is that of a word.

    Args:
        folder: of the model.
        content: of ``tokenizer.json``.
        default: the configuration's id.
    """
    token = _text(
        read_json(folder / _CONFIG).get("pad_token", read_json(folder / "special_tokens_map.json").get("pad_token"))
    )
    added = json.loads(content)["added_tokens"]
    return next((int(entry["id"]) for entry in added if entry["content"] == token), default)


def _class_name(folder: Path, settings: Mapping[str, Any]) -> str:
    """The name of its class without ``Tokenizer`` and ``Fast``."""
    config = read_json(folder / "config.json")
    name = settings.get("tokenizer_class") or config.get("tokenizer_class")
    if name:
        return str(name).removesuffix("Fast").removesuffix("Tokenizer")
    kind = str(config.get("model_type"))
    return _CLASS_OF_KIND.get(kind, kind)


def _text(token: Any) -> Any:
    """The text of a token, which some files describe by an object."""
    return token.get("content") if isinstance(token, dict) else token


def _follow_settings(content: str, kind: str, settings: Mapping[str, Any], source: str) -> str:
    """Apply the settings of ``tokenizer_config.json`` that the class applies, or refuse what it would replace."""
    if kind not in (*_WORD_PIECES, *_BYTE_PAIRS, *_SENTENCE_PIECES):
        return content
    saved = json.loads(content)
    normalizer, splitter = saved.get("normalizer"), saved.get("pre_tokenizer")
    if kind in _WORD_PIECES:
        expected = ({"BertNormalizer"}, {"BertPreTokenizer"})
    elif kind in _BYTE_PAIRS:
        expected = (set(), {"ByteLevel"})
    else:
        expected = ({"Precompiled", "Replace", "Strip"}, {"Metaspace", "WhitespaceSplit"})
    for part, types in zip((normalizer, splitter), expected, strict=True):
        other_types = set(_types(part)) - types
        if other_types:
            raise InputError(
                f"{source}: its tokenizer.json contains {', '.join(sorted(other_types))}, which {kind}Tokenizer of "
                "transformers 5 replaces by its own steps, and that of transformers 4 keeps. If the file is right, "
                f"set tokenizer_class to PreTrainedTokenizerFast in its {_CONFIG}."
            )
    if kind in _SENTENCE_PIECES and {"Replace", "WhitespaceSplit"}.isdisjoint([*_types(normalizer), *_types(splitter)]):
        raise InputError(
            f"{source}: its tokenizer.json keeps repeated spaces, and {kind}Tokenizer of transformers 5 removes them. "
            f"If the file is right, set tokenizer_class to PreTrainedTokenizerFast in its {_CONFIG}."
        )
    if kind in _WORD_PIECES and normalizer:
        changes = _changes(normalizer, settings, source)
        return (
            json.dumps({**saved, "normalizer": {**normalizer, **changes}}, ensure_ascii=False) if changes else content
        )
    prefix = settings.get("add_prefix_space")
    if kind in _BYTE_PAIRS and prefix is not None and prefix != splitter["add_prefix_space"]:
        return json.dumps({**saved, "pre_tokenizer": {**splitter, "add_prefix_space": prefix}}, ensure_ascii=False)
    return content


def _types(part: Any) -> Iterator[str]:
    """The types of a normalizer or pre-tokenizer, and of those in a sequence."""
    if not part:
        return
    steps = part.get("normalizers") or part.get("pretokenizers")
    if steps is None:
        yield part["type"]
    for step in steps or ():
        yield from _types(step)


def _changes(normalizer: Mapping[str, Any], settings: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What ``tokenizer_config.json`` changes in the normalizer of word pieces."""
    stated = {name: settings[key] for name, key in _SETTINGS.items() if key in settings}
    changes = {name: value for name, value in stated.items() if value != normalizer[name]}
    if not normalizer["lowercase"] and "lowercase" not in stated:
        raise InputError(
            f"{source}: its tokenizer.json keeps upper case, and transformers converts it to lower case, because "
            f"do_lower_case is missing in its {_CONFIG}. Set it there, to false if the model is cased."
        )
    return changes


def _from_vocabulary(folder: Path, settings: Mapping[str, Any], source: str) -> str:
    """BERT's own tokenizer, from its list of word pieces."""
    for name, only in (("do_basic_tokenize", True), ("never_split", None), ("word_tokenizer_type", None)):
        if settings.get(name, only) != only:
            raise InputError(
                f"{source} has {name} = {settings[name]!r} in its {_CONFIG}, which headstart cannot follow without "
                f"{_FILE}."
            )
    tokenizers = require("tokenizers", extra="text", purpose="reading texts for a transformer")
    token_names = {**read_json(folder / "special_tokens_map.json"), **settings}
    special = {
        name: str(_text(token_names.get(name)) or f"[{name.removesuffix('_token').upper()}]")
        for name in ("unk_token", "sep_token", "cls_token", "pad_token", "mask_token")
    }
    tokenizer = tokenizers.BertWordPieceTokenizer(
        str(folder / "vocab.txt"),
        lowercase=settings.get("do_lower_case", True),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        **special,
    )
    return str(tokenizer.to_str())


def _with_added_tokens(content: str, folder: Path, settings: Mapping[str, Any]) -> str:
    """Add the tokens of ``tokenizer_config.json`` and ``added_tokens.json`` that ``tokenizer.json`` lacks."""
    entries = {int(id_): entry for id_, entry in (settings.get("added_tokens_decoder") or {}).items()}
    entries |= {int(id_): {"content": text} for text, id_ in read_json(folder / "added_tokens.json").items()}
    known_forms = {form for _, entry in entries.items() for form in _json_forms(entry["content"]) if form in content}
    missing = [entry for _, entry in sorted(entries.items()) if known_forms.isdisjoint(_json_forms(entry["content"]))]
    if not missing:
        return content
    tokenizers = require("tokenizers", extra="text", purpose="reading texts for a transformer")
    tokenizer = tokenizers.Tokenizer.from_str(content)
    for entry in missing:
        flags = {
            name: entry[name] for name in ("lstrip", "rstrip", "single_word", "normalized", "special") if name in entry
        }
        add = tokenizer.add_special_tokens if flags.get("special") else tokenizer.add_tokens
        add([tokenizers.AddedToken(entry["content"], **flags)])
    return str(tokenizer.to_str())


def _with_truncation_side(content: str, settings: Mapping[str, Any]) -> str:
    """State on which side long texts are truncated, if it is not the side in ``tokenizer.json``."""
    side = settings.get("truncation_side")
    truncation = json.loads(content).get("truncation") or {}
    if side is None or side == truncation.get("direction", "Right").lower():
        return content
    tokenizers = require("tokenizers", extra="text", purpose="reading texts for a transformer")
    tokenizer = tokenizers.Tokenizer.from_str(content)
    tokenizer.enable_truncation(truncation.get("max_length", _ANY_LENGTH), direction=side)
    return str(tokenizer.to_str())


def _json_forms(text: str) -> set[str]:
    """The forms in which a JSON file can contain a text."""
    return {json.dumps(text), json.dumps(text, ensure_ascii=False)}
