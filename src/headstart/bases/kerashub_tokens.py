"""KerasHub's tokenizers in the format of the package ``tokenizers``, so that a run can read texts without KerasHub."""

import importlib
from typing import Any

from headstart.bases.hf_tokenizer import TEST_TEXTS
from headstart.errors import InputError
from headstart.system.extras import require


def to_json(tokenizer: Any, preprocessor: Any, name: str) -> str:
    """Rebuild a tokenizer with its special tokens; returns the content of its ``tokenizer.json``.

    Args:
        tokenizer: of KerasHub.
        preprocessor: of KerasHub, which adds special tokens to texts; None if the model has none.
        name: of the model, for messages.

    Raises:
        InputError: the tokenizer is of an unsupported kind, or the rebuilt one returns other ids for some text: texts
            in several scripts are compared.
        UnavailableError: the package ``tokenizers`` is not installed.
    """
    tokenizers = require("tokenizers", extra="text", purpose=f"reading texts for {name}")
    kinds = {kind.__name__ for kind in type(tokenizer).__mro__}
    if "WordPieceTokenizer" in kinds:
        rebuilt = _word_pieces(tokenizers, tokenizer)
    elif "BytePairTokenizer" in kinds:
        rebuilt = _byte_pairs(tokenizers, tokenizer)
    elif "SentencePieceTokenizer" in kinds:
        rebuilt = _sentence_pieces(tokenizers, tokenizer)
    else:
        raise InputError(f"{name} has a {type(tokenizer).__name__}: expected word pieces, byte pairs or SentencePiece.")
    for text in TEST_TEXTS:
        expected_ids = [int(id_) for id_ in tokenizer(text)]
        ids = rebuilt.encode(text, add_special_tokens=False).ids
        if ids != expected_ids:
            raise InputError(
                f"the tokenizer of {name} cannot be rebuilt: the rebuilt one returns {ids[:12]} for {text!r}, expected "
                f"{expected_ids[:12]}."
            )
    if preprocessor is not None:
        _add_special_tokens(tokenizers, rebuilt, tokenizer, preprocessor)
    return rebuilt.to_str()


def _word_pieces(tokenizers: Any, tokenizer: Any) -> Any:
    vocabulary = {piece: number for number, piece in enumerate(tokenizer.get_vocabulary())}
    rebuilt = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token=tokenizer.oov_token))
    rebuilt.normalizer = tokenizers.normalizers.BertNormalizer(
        lowercase=tokenizer.lowercase,
        strip_accents=tokenizer.strip_accents,
        handle_chinese_chars=tokenizer.split_on_cjk,
    )
    rebuilt.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return rebuilt


def _byte_pairs(tokenizers: Any, tokenizer: Any) -> Any:
    merges = [tuple(merge.split(" ")) for merge in tokenizer.merges if not merge.startswith("#version")]
    rebuilt = tokenizers.Tokenizer(tokenizers.models.BPE(dict(tokenizer.vocabulary), merges))
    rebuilt.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=tokenizer.add_prefix_space)
    return rebuilt


def _sentence_pieces(tokenizers: Any, tokenizer: Any) -> Any:
    """With KerasHub's ids, which it shifts for some models, and with the scores of SentencePiece's own file."""
    require("sentencepiece", extra="kerashub", purpose="reading a SentencePiece tokenizer")
    proto = importlib.import_module("sentencepiece.sentencepiece_model_pb2").ModelProto()
    proto.ParseFromString(tokenizer.proto)
    if proto.trainer_spec.model_type != proto.trainer_spec.UNIGRAM:
        raise InputError("the SentencePiece tokenizer cannot be rebuilt: expected the model type unigram.")
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type == piece.NORMAL}
    lowest = min(scores.values()) - 10.0  # no special token is preferred to the spelling of a word
    pieces = [tokenizer.id_to_token(number) for number in range(tokenizer.vocabulary_size())]
    unknown = next(piece.piece for piece in proto.pieces if piece.type == piece.UNKNOWN)
    rebuilt = tokenizers.Tokenizer(
        tokenizers.models.Unigram([(piece, scores.get(piece, lowest)) for piece in pieces], pieces.index(unknown))
    )
    normalizers = tokenizers.normalizers
    steps = [normalizers.Strip(), normalizers.Replace(tokenizers.Regex(" {2,}"), " ")]
    if proto.normalizer_spec.precompiled_charsmap:
        steps.insert(0, normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap))
    rebuilt.normalizer = normalizers.Sequence(steps)
    rebuilt.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    return rebuilt


def _add_special_tokens(tokenizers: Any, rebuilt: Any, tokenizer: Any, preprocessor: Any) -> None:
    """Make the rebuilt tokenizer add the same special tokens as the preprocessor."""
    ids = [int(id_) for id_ in tokenizer(TEST_TEXTS[0])]
    output = preprocessor(TEST_TEXTS[0])
    output = output[0] if isinstance(output, tuple) else output
    all_ids = [int(id_) for id_ in output["token_ids"]]
    start = next(i for i in range(len(all_ids)) if all_ids[i : i + len(ids)] == ids)
    prefix, suffix = all_ids[:start], []
    for id_ in all_ids[start + len(ids) :]:
        if id_ == tokenizer.pad_token_id:
            break
        suffix.append(id_)
    pieces = {id_: str(tokenizer.id_to_token(id_)) for id_ in {*prefix, *suffix}}
    rebuilt.post_processor = tokenizers.processors.TemplateProcessing(
        single=[*(pieces[id_] for id_ in prefix), "$A", *(pieces[id_] for id_ in suffix)],
        special_tokens=[(piece, id_) for id_, piece in pieces.items()],
    )
