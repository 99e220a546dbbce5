"""Word and character error rates between references and hypotheses, after text normalisation.

Both sides pass through Whisper's English normaliser from transformers (case, punctuation, contractions, numerals,
titles). Its list of British and American spellings is not used, because it is only part of Whisper's model folders.
Limitation: "colour" against "color" is an error, so rates are slightly above those of papers that use the list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

Normalizer = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class UtteranceEdits:
    """Edits and reference lengths of every compared utterance, int [N] per field."""

    word_edits: np.ndarray
    words: np.ndarray
    character_edits: np.ndarray
    characters: np.ndarray


def normalize(text: str) -> str:
    """Lower case, no punctuation, numerals as digits, contractions expanded; the empty string if nothing is left."""
    # The normaliser leaves one point of an ellipsis: drop words without a letter or digit.
    return " ".join(word for word in _normalizer()(text).split() if any(map(str.isalnum, word)))


def error_rates(
    references: Sequence[str], hypotheses: Sequence[str], *, normalizer: Normalizer = normalize
) -> dict[str, float]:
    """Word and character error rates over all pairs, as fractions (0.05 is 5 %; values above 1 are possible).

    Both sides are normalised by `normalizer`. Pairs with an empty normalised reference are left out and counted in
    `skipped`.

    Returns:
        ``wer``, ``cer``, ``substitutions``, ``deletions``, ``insertions`` (in words), ``words`` (of the references),
        ``utterances`` (compared) and ``skipped``.

    Raises:
        ValueError: the lists differ in length, or no reference has a word.
    """
    jiwer = _jiwer()
    truth, guess = _compared(references, hypotheses, normalizer)
    words = jiwer.process_words(truth, guess)
    return {
        "wer": words.wer,
        "cer": jiwer.cer(truth, guess),
        "substitutions": words.substitutions,
        "deletions": words.deletions,
        "insertions": words.insertions,
        "words": words.hits + words.substitutions + words.deletions,
        "utterances": len(truth),
        "skipped": len(references) - len(truth),
    }


def utterance_edits(
    references: Sequence[str], hypotheses: Sequence[str], *, normalizer: Normalizer = normalize
) -> UtteranceEdits:
    """Edits per utterance, for example as items of a bootstrap; `error_rates` is their sum. Raises like it."""
    truth, guess = _compared(references, hypotheses, normalizer)
    word_edits, words = _edits(truth, guess, characters=False)
    character_edits, characters = _edits(truth, guess, characters=True)
    return UtteranceEdits(word_edits=word_edits, words=words, character_edits=character_edits, characters=characters)


def sequence_edits(references: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> np.ndarray:
    """Edit distance between the integer sequences [T] of each pair: int [N]."""
    return _edits(*([" ".join(map(str, row)) for row in rows] for rows in (references, others)), characters=False)[0]


def _compared(
    references: Sequence[str], hypotheses: Sequence[str], normalizer: Normalizer
) -> tuple[list[str], list[str]]:
    """Normalised references and hypotheses, without pairs that have an empty normalised reference."""
    if len(references) != len(hypotheses):
        raise ValueError(
            f"error_rates: {len(references)} references but {len(hypotheses)} hypotheses; give one for each"
        )
    pairs = [
        (normalizer(reference), normalizer(hypothesis))
        for reference, hypothesis in zip(references, hypotheses, strict=True)
    ]
    kept = [pair for pair in pairs if pair[0]]
    if not kept:
        raise ValueError(
            f"error_rates: none of {len(pairs)} references has a word after normalisation; check the transcripts"
        )
    return [pair[0] for pair in kept], [pair[1] for pair in kept]


def _edits(truth: list[str], guess: list[str], *, characters: bool) -> tuple[np.ndarray, np.ndarray]:
    """Edits and reference length of every pair, int [N] each, in words or characters."""
    jiwer = _jiwer()
    compared = (jiwer.process_characters if characters else jiwer.process_words)(truth, guess)
    edits = [
        sum(
            max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
            for chunk in chunks
            if chunk.type != "equal"
        )
        for chunks in compared.alignments
    ]
    return np.array(edits), np.array([len(reference) for reference in compared.references])


def _jiwer() -> ModuleType:
    try:
        import jiwer
    except ImportError as error:
        raise ValueError("word error rates need the package jiwer; pip install 'megatron-speech[eval]'") from error
    return jiwer


@cache
def _normalizer() -> EnglishTextNormalizer:
    return EnglishTextNormalizer({})
