"""KerasHub's tokenizers as the package ``tokenizers`` has them, so that a run can read texts without KerasHub."""

import importlib
from typing import Any

from headstart.errors import InputError
from headstart.system.extras import require

_TRIED = ("the film was good, but its 2nd half isn't!", "One  more text")


def to_json(tokenizer: Any, preprocessor: Any, name: str) -> str:
    """Rebuild a tokenizer, special tokens included; gives the content of its ``tokenizer.json``.

    Args:
        tokenizer: of KerasHub.
        preprocessor: of KerasHub; it frames texts with special tokens. None where there are none.
        name: of the model, for messages.

    Raises:
        InputError: it is of a kind that headstart does not know, or the rebuilt one gives other ids on simple texts.
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
    for text in _TRIED:
        wanted = [int(id_) for id_ in tokenizer(text)]
        found = rebuilt.encode(text, add_special_tokens=False).ids
        if found != wanted:
            raise InputError(
                f"the tokenizer of {name} cannot be rebuilt: of {text!r} it makes {wanted[:12]}, rebuilt {found[:12]}."
            )
    if preprocessor is not None:
        _frame(tokenizers, rebuilt, tokenizer, preprocessor)
    return rebuilt.to_str()


def _word_pieces(tokenizers: Any, tokenizer: Any) -> Any:
    vocabulary = {piece: number for number, piece in enumerate(tokenizer.get_vocabulary())}
    rebuilt = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token=tokenizer.oov_token))
    rebuilt.normalizer = tokenizers.normalizers.BertNormalizer(
        lowercase=tokenizer.lowercase,
        # BERT's lower-case vocabularies have no accents; KerasHub keeps them, and such words are unknown to the model.
        strip_accents=tokenizer.strip_accents or tokenizer.lowercase,
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
    """With the ids that the model knows, which KerasHub moves for some, and the scores of SentencePiece's own file."""
    require("sentencepiece", extra="kerashub", purpose="reading a SentencePiece tokenizer")
    proto = importlib.import_module("sentencepiece.sentencepiece_model_pb2").ModelProto()
    proto.ParseFromString(tokenizer.proto)
    if proto.trainer_spec.model_type != proto.trainer_spec.UNIGRAM:
        raise InputError("a SentencePiece tokenizer of another kind than unigram cannot be rebuilt.")
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type == piece.NORMAL}
    lowest = min(scores.values()) - 10.0  # special tokens are never cheaper than to spell a word out
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


def _frame(tokenizers: Any, rebuilt: Any, tokenizer: Any, preprocessor: Any) -> None:
    """Put the special tokens around a text that the preprocessor puts there."""
    ids = [int(id_) for id_ in tokenizer(_TRIED[0])]
    prepared = preprocessor(_TRIED[0])
    prepared = prepared[0] if isinstance(prepared, tuple) else prepared
    framed = [int(id_) for id_ in prepared["token_ids"]]
    start = next(i for i in range(len(framed)) if framed[i : i + len(ids)] == ids)
    before, after = framed[:start], []
    for id_ in framed[start + len(ids) :]:
        if id_ == tokenizer.pad_token_id:
            break
        after.append(id_)
    pieces = {id_: str(tokenizer.id_to_token(id_)) for id_ in {*before, *after}}
    rebuilt.post_processor = tokenizers.processors.TemplateProcessing(
        single=[*(pieces[id_] for id_ in before), "$A", *(pieces[id_] for id_ in after)],
        special_tokens=[(piece, id_) for id_, piece in pieces.items()],
    )
