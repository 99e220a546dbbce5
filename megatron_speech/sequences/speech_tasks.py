"""Sequence layouts of the supervised tasks: speech recognition and speech synthesis.

    recognition:  <|recognize|> <|begin_of_audio|> speech <|end_of_audio|>  |  text
    synthesis:    <|synthesize|> text <|begin_of_audio|>                    |  speech <|end_of_audio|>

A text-to-token model's prompt holds more between task and text (text_to_token.prompts): `hints`.

The bar is `target_start`: "for supervised speech-text data, the model is only trained to predict tokens in the target
parts" (arXiv 2411.17607); whether a source obeys it is a setting of the run, not of the data. The
vocabulary's begin of document, if it has one, stands before the task. The packer closes every document with the
end-of-document id, so none is appended here. The paper does not print its prompts; one special token per task costs one
id and cannot be mistaken for text. The prompt functions are shared with generation, so that a model is asked exactly
what it was taught.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO, RECOGNIZE, SYNTHESIZE, Vocabulary


def recognition_document(
    key: str, *, text_ids: Sequence[int], codes: np.ndarray, vocabulary: Vocabulary, meta: dict[str, Any] | None = None
) -> TokenDocument:
    """Speech to text: `codes` int [T] of the speech tokenizer, the transcript as ids of the text tokenizer.

    Raises ValueError when either side is empty or a code or id lies outside the vocabulary.
    """
    prompt = recognition_prompt(codes, vocabulary=vocabulary, key=key)
    return _document(key, prompt, _text(text_ids, vocabulary=vocabulary, key=key), meta)


def synthesis_document(
    key: str,
    *,
    text_ids: Sequence[int],
    codes: np.ndarray,
    vocabulary: Vocabulary,
    meta: dict[str, Any] | None = None,
    hints: Sequence[str] = (),
) -> TokenDocument:
    """Text to speech; arguments and errors as in `recognition_document`. The target ends with `<|end_of_audio|>`.

    `hints` are special tokens that stand before the text.
    """
    target = np.append(speech_ids(codes, vocabulary=vocabulary, key=key), vocabulary.special_id(END_OF_AUDIO))
    return _document(key, synthesis_prompt(text_ids, vocabulary=vocabulary, key=key, hints=hints), target, meta)


def recognition_prompt(codes: np.ndarray, *, vocabulary: Vocabulary, key: str = "recognition prompt") -> np.ndarray:
    """Everything before the transcript, int32 [begin of document + T + 3]."""
    speech = enclosed(speech_ids(codes, vocabulary=vocabulary, key=key), vocabulary=vocabulary)
    before = [*vocabulary.begin_of_document, vocabulary.special_id(RECOGNIZE)]
    return np.concatenate([before, speech]).astype(np.int32)


def synthesis_prompt(
    text_ids: Sequence[int], *, vocabulary: Vocabulary, key: str = "synthesis prompt", hints: Sequence[str] = ()
) -> np.ndarray:
    """Everything before the first speech token, int32 [begin of document + len(hints) + len(text_ids) + 2]."""
    text = _text(text_ids, vocabulary=vocabulary, key=key)
    before = [*vocabulary.begin_of_document, *(vocabulary.special_id(token) for token in (SYNTHESIZE, *hints))]
    return np.concatenate([before, text, [vocabulary.special_id(BEGIN_OF_AUDIO)]]).astype(np.int32)


def speech_ids(codes: np.ndarray, *, vocabulary: Vocabulary, key: str = "speech codes") -> np.ndarray:
    """Codes of the speech tokenizer as ids of `vocabulary`, int32 [T]; ValueError if none or outside the codebook."""
    codes = np.asarray(codes)
    if codes.size == 0:
        raise ValueError(f"{key}: speech codes: none given, at least one is needed; drop speech without codes")
    if codes.min() < 0 or codes.max() >= vocabulary.num_speech_ids:
        raise ValueError(
            f"{key}: speech codes {codes.min()}..{codes.max()} outside the codebook of {vocabulary.num_speech_ids}; "
            "encode with the speech tokenizer of this vocabulary"
        )
    return (codes.astype(np.int64) + vocabulary.first_speech_id).astype(np.int32)


def enclosed(speech: np.ndarray, *, vocabulary: Vocabulary) -> np.ndarray:
    """Speech ids between `<|begin_of_audio|>` and `<|end_of_audio|>`, int32 [T + 2]."""
    ends = vocabulary.special_id(BEGIN_OF_AUDIO), vocabulary.special_id(END_OF_AUDIO)
    return np.concatenate([ends[:1], speech, ends[1:]]).astype(np.int32)


def _text(text_ids: Sequence[int], *, vocabulary: Vocabulary, key: str) -> np.ndarray:
    ids = np.asarray(text_ids, dtype=np.int32)
    if ids.size == 0:
        raise ValueError(f"{key}: the text gives no token; drop empty texts")
    if ids.min() < 0 or not vocabulary.text_mask(ids).all():
        raise ValueError(
            f"{key}: text id outside 0..{vocabulary.num_text_ids - 1}, or of a speech or special token among them; "
            "use the vocabulary's own text tokenizer"
        )
    return ids


def _document(key: str, prompt: np.ndarray, target: np.ndarray, meta: dict[str, Any] | None) -> TokenDocument:
    tokens = np.concatenate([prompt, target]).astype(np.int32)
    return TokenDocument(key=key, tokens=tokens, target_start=len(prompt), meta=meta or {})
