"""Convert a SentencePiece model to a `tokenizers.Tokenizer`.

The two libraries differ in details (normalisation, byte fallback, spaces). So a conversion is accepted only if it gives
the same ids as sentencepiece on probes from many scripts.

Limitations: models with unusual normaliser settings are refused. If two unigram segmentations have the same score
(``aa|a`` and ``a|aa``), the libraries may choose differently.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

PROBES = (
    "Hello, world!",
    "  leading and   inner   spaces ",
    "naïve café — “quotes” … 1,234.5 %",
    "Größe, straße, ÅÄÖ, ﬁ ligature, ½, x²",
    "北京大学生前来应聘，你好！",
    "日本語のテキスト　全角スペース",
    "Привет, мир; γειά σου; שלום; مرحبا",
    "🙂 emoji 👩‍👩‍👧 and \u200b zero width",
    "line one\nline two\ttab",
    "<|audio_5|> a<b, c>d",
)
"""Texts for which a conversion must give sentencepiece's ids."""

LITERALS = ("<s>", "</s>", "x<s>y </s>", "<unk>", "<0x41>", "a </s>")
"""Texts that spell out reserved pieces and must not become their ids."""

_UNIGRAM = 1  # TrainerSpec.ModelType
_SEGMENTED = (1, 4)  # SentencePiece.Type of pieces that text may become: normal, user-defined


def convert_sentencepiece(path: Path) -> tuple[Tokenizer, str | None]:
    """Convert the model file at `path`; return the tokenizer and the text of its end-of-sequence token (or None).

    Raises:
        ValueError: the file is not a SentencePiece model, or the conversion gives other ids.
    """
    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{path}: not a SentencePiece model ({error}); check the file") from error
    # Model, normalizer, and pre-tokenizer.
    proto = model_proto(path.read_bytes())
    tokenizer = Tokenizer(_model(proto))
    tokenizer.normalizer = _normalizer(proto.normalizer_spec)
    symbols = sorted((piece.piece for piece in proto.pieces if piece.type == piece.USER_DEFINED), key=len, reverse=True)
    unigram = proto.trainer_spec.model_type == _UNIGRAM
    steps = [_break_spelt_out_pieces(proto, whole_words=not unigram)] if unigram or symbols else []
    if symbols:  # each becomes a word of its own, which BPE keeps whole even without merges (ignore_merges)
        steps.insert(0, pre_tokenizers.Split(Regex("|".join(map(re.escape, symbols))), "isolated"))
    if steps:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    # Decoder and control tokens.
    tokenizer.decoder = _decoder(proto)
    control = [piece.piece for piece in proto.pieces if piece.type == piece.CONTROL]
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in control])
    _require_agreement(tokenizer, processor, path, symbols)
    eos = processor.eos_id()
    return tokenizer, processor.id_to_piece(eos) if eos >= 0 else None


def model_proto(content: bytes) -> Any:
    """Parse the content of a model file; of the type ModelProto, which protobuf makes at import."""
    from sentencepiece import sentencepiece_model_pb2

    return sentencepiece_model_pb2.ModelProto.FromString(content)  # type: ignore[attr-defined]  # made at import


def _model(proto: Any) -> models.Model:
    trainer, pieces = proto.trainer_spec, proto.pieces
    if trainer.model_type == _UNIGRAM:
        scored = [(piece.piece, piece.score) for piece in pieces]
        return models.Unigram(scored, unk_id=trainer.unk_id, byte_fallback=trainer.byte_fallback)
    vocab = {piece.piece: index for index, piece in enumerate(pieces)}
    scores = {piece.piece: piece.score for piece in pieces if piece.type == piece.NORMAL}
    merges = [
        (-scores[piece], index, piece[:cut], piece[cut:])
        for index, piece in enumerate(scores)
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
    pairs = [(left, right) for _, _, left, right in sorted(merges)]
    return models.BPE(
        vocab,
        pairs,
        unk_token=trainer.unk_piece,
        fuse_unk=True,
        byte_fallback=trainer.byte_fallback,
        ignore_merges=any(piece.type == piece.USER_DEFINED for piece in pieces),
    )


def _normalizer(spec: Any) -> normalizers.Normalizer:
    steps: list[normalizers.Normalizer] = []
    if spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(spec.precompiled_charsmap))
    if spec.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex(r"^ +| +$"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if spec.add_dummy_prefix:
        steps.append(normalizers.Prepend("▁"))
    steps.append(normalizers.Replace(" ", "▁"))
    return normalizers.Sequence(steps)


def _break_spelt_out_pieces(proto: Any, *, whole_words: bool = False) -> pre_tokenizers.PreTokenizer:
    """Pre-tokenizer that splits off the first character of text like ``<s>`` or ``<0x41>``.

    Otherwise Unigram would encode it as the reserved piece. With `whole_words` (BPE with `ignore_merges`), this
    concerns only whole words.
    """
    reserved = [piece.piece for piece in proto.pieces if piece.type not in _SEGMENTED]
    begin, end = (r"\A", r"\z") if whole_words else ("", "")
    parts = [f"{begin}{re.escape(piece[0])}(?={re.escape(piece[1:])}{end})" for piece in reserved]
    return pre_tokenizers.Split(Regex("|".join(parts)), "isolated")


def _decoder(proto: Any) -> decoders.Decoder:
    steps: list[decoders.Decoder] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if proto.normalizer_spec.add_dummy_prefix:
        steps.append(decoders.Strip(" ", 1, 0))
    return decoders.Sequence(steps)


def _require_agreement(
    tokenizer: Tokenizer, processor: sentencepiece.SentencePieceProcessor, path: Path, symbols: Sequence[str]
) -> None:
    tokenizer.encode_special_tokens = True
    spelt_out = [symbol.replace("▁", " ") for symbol in symbols]
    for probe in (*PROBES, *(f"a{symbol}b{symbol}c" for symbol in spelt_out)):
        ours, theirs = tokenizer.encode(probe, add_special_tokens=False).ids, processor.encode(probe)
        if ours != theirs:
            raise ValueError(
                f"{path}: cannot be converted faithfully: {probe!r} gives {ours[:8]}, "
                f"sentencepiece gives {theirs[:8]}; "
                "train it with nmt_nfkc or identity normalisation, or convert it to a tokenizer.json"
            )
    reserved = {processor.piece_to_id(text) for text in ("<s>", "</s>", "<0x41>")} - {processor.unk_id()}
    for text in LITERALS:
        if reserved & set(tokenizer.encode(text, add_special_tokens=False).ids):
            raise ValueError(f"{path}: text {text!r} would become a reserved id; convert the model to a tokenizer.json")
    tokenizer.encode_special_tokens = False
