"""Compare what was said with what was recognised: normalise both, then count edits.

Word error rates mean little without saying what counts as the same word. Here it is Whisper's English normaliser (case,
punctuation, contractions, numerals, titles) as transformers ships it, without its list of British and American
spellings: that list is a file of the hub's Whisper folders, so "colour" against "color" counts as an error. Price:
rates a little above those of papers that use the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer


@dataclass(frozen=True, kw_only=True)
class UtteranceEdits:
    """Edits and reference lengths of every compared utterance, int [N] each."""

    word_edits: np.ndarray
    words: np.ndarray
    character_edits: np.ndarray
    characters: np.ndarray


def normalize(text: str) -> str:
    """Lower case, no punctuation, numerals as digits, contractions expanded; the empty string if nothing is left."""
    # The normaliser leaves one point of an ellipsis standing: what has no letter or digit is no word.
    return " ".join(word for word in _normalizer()(text).split() if any(map(str.isalnum, word)))


def error_rates(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Word and character error rates over all pairs together, as fractions (0.05 is 5 %; above 1 is possible).

    Both sides are normalised; a pair whose reference is then empty is left out and counted in `skipped`.

    Returns:
        ``wer``, ``cer``, ``substitutions``, ``deletions``, ``insertions`` (words), ``words`` (of the references),
        ``utterances`` compared and ``skipped``.

    Raises:
        ValueError: the lists differ in length, or no reference has a word.
    """
    jiwer = _jiwer()
    truth, guess = _compared(references, hypotheses)
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


def utterance_edits(references: Sequence[str], hypotheses: Sequence[str]) -> UtteranceEdits:
    """What `error_rates` sums up, utterance by utterance: the items of a bootstrap. Raises what it raises."""
    truth, guess = _compared(references, hypotheses)
    word_edits, words = _edits(truth, guess, characters=False)
    character_edits, characters = _edits(truth, guess, characters=True)
    return UtteranceEdits(word_edits=word_edits, words=words, character_edits=character_edits, characters=characters)


def sequence_edits(references: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> np.ndarray:
    """Least number of insertions, deletions and substitutions between integer sequences [T], pair by pair: int [N]."""
    return _edits(*([" ".join(map(str, row)) for row in rows] for rows in (references, others)), characters=False)[0]


def _compared(references: Sequence[str], hypotheses: Sequence[str]) -> tuple[list[str], list[str]]:
    """Both sides normalised, without the pairs whose reference is then empty."""
    if len(references) != len(hypotheses):
        raise ValueError(
            f"error_rates: {len(references)} references but {len(hypotheses)} hypotheses; give one for each"
        )
    pairs = [
        (normalize(reference), normalize(hypothesis))
        for reference, hypothesis in zip(references, hypotheses, strict=True)
    ]
    kept = [pair for pair in pairs if pair[0]]
    if not kept:
        raise ValueError(
            f"error_rates: none of {len(pairs)} references has a word after normalisation; check the transcripts"
        )
    return [pair[0] for pair in kept], [pair[1] for pair in kept]


def _edits(truth: list[str], guess: list[str], *, characters: bool) -> tuple[np.ndarray, np.ndarray]:
    """Edits and length of every reference, int [N] each, in words or characters."""
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
