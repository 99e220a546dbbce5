"""Sequence layouts of the supervised tasks: speech recognition and speech synthesis.

    recognition:  <|recognize|> <|begin_of_audio|> speech <|end_of_audio|>  |  text
    synthesis:    <|synthesize|> text <|begin_of_audio|>                    |  speech <|end_of_audio|>

The bar marks `target_start`. The paper trains on the target parts only (arXiv 2411.17607); here the run's loss settings
decide, not the data. The prompts of a text-to-token model have additional tokens between task and text: `hints` (see
text_to_token.prompts).

A vocabulary's begin of document, if any, comes before the task. The end of document is not added here: the packer ends
every document with it. The paper does not print its prompts; one special token per task costs one id and cannot be
confused with text. Generation uses the same prompt functions, so a model is prompted exactly as it was trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO, RECOGNIZE, SYNTHESIZE, Modality, Vocabulary


def recognition_document(
    key: str, *, text_ids: Sequence[int], codes: np.ndarray, vocabulary: Vocabulary, meta: dict[str, Any] | None = None
) -> TokenDocument:
    """Build a speech-to-text document from `codes` int [T] and the transcript's `text_ids`.

    Raises ValueError if either is empty, or if a code or id is outside the vocabulary.
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
    """Build a text-to-speech document; arguments and errors as in `recognition_document`.

    The target ends with `<|end_of_audio|>`. `hints` are special tokens before the text.
    """
    target = np.append(speech_ids(codes, vocabulary=vocabulary, key=key), vocabulary.special_id(END_OF_AUDIO))
    return _document(key, synthesis_prompt(text_ids, vocabulary=vocabulary, key=key, hints=hints), target, meta)


def recognition_prompt(codes: np.ndarray, *, vocabulary: Vocabulary, key: str = "recognition prompt") -> np.ndarray:
    """Return everything before the transcript, int32 [begin of document + T + 3]."""
    speech = enclosed(speech_ids(codes, vocabulary=vocabulary, key=key), vocabulary=vocabulary)
    before = [*vocabulary.begin_of_document, vocabulary.special_id(RECOGNIZE)]
    return np.concatenate([before, speech]).astype(np.int32)


def synthesis_prompt(
    text_ids: Sequence[int], *, vocabulary: Vocabulary, key: str = "synthesis prompt", hints: Sequence[str] = ()
) -> np.ndarray:
    """Return everything before the first speech token, int32 [begin of document + len(hints) + len(text_ids) + 2]."""
    text = _text(text_ids, vocabulary=vocabulary, key=key)
    before = [*vocabulary.begin_of_document, *(vocabulary.special_id(token) for token in (SYNTHESIZE, *hints))]
    return np.concatenate([before, text, [vocabulary.special_id(BEGIN_OF_AUDIO)]]).astype(np.int32)


def continuation_prompt(ids: Sequence[int], *, given: Modality, asked: Modality, vocabulary: Vocabulary) -> list[int]:
    """Lay out a beginning, text or speech `ids`, to be continued in the modality `asked`.

    Speech that is continued in speech stays open: no training document has two runs of speech side by side.
    """
    begin, end = (vocabulary.special_id(token) for token in (BEGIN_OF_AUDIO, END_OF_AUDIO))
    before = [begin] if given == "speech" else []
    after = [] if given == asked else [begin if asked == "speech" else end]
    return [*vocabulary.begin_of_document, *before, *ids, *after]


def speech_ids(codes: np.ndarray, *, vocabulary: Vocabulary, key: str = "speech codes") -> np.ndarray:
    """Map codes of the speech tokenizer to ids of `vocabulary`, int32 [T]; ValueError if none or outside its range."""
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
    """Put speech ids between `<|begin_of_audio|>` and `<|end_of_audio|>`, int32 [T + 2]."""
    ends = vocabulary.special_id(BEGIN_OF_AUDIO), vocabulary.special_id(END_OF_AUDIO)
    return np.concatenate([ends[:1], speech, ends[1:]]).astype(np.int32)


def _text(text_ids: Sequence[int], *, vocabulary: Vocabulary, key: str) -> np.ndarray:
    ids = np.asarray(text_ids, dtype=np.int32)
    if ids.size == 0:
        raise ValueError(f"{key}: the text gives no token; drop empty texts")
    if ids.min() < 0 or not vocabulary.text_mask(ids).all():
        raise ValueError(
            f"{key}: text ids must lie in 0..{vocabulary.num_text_ids - 1} and be no speech or special tokens; "
            "use the vocabulary's own text tokenizer"
        )
    return ids


def _document(key: str, prompt: np.ndarray, target: np.ndarray, meta: dict[str, Any] | None) -> TokenDocument:
    tokens = np.concatenate([prompt, target]).astype(np.int32)
    return TokenDocument(key=key, tokens=tokens, target_start=len(prompt), meta=meta or {})
