"""Compare what was said with what was recognised: normalise both, then count edits.

Word error rates mean little without saying what counts as the same word. Here it is Whisper's English normaliser (case,
punctuation, contractions, numerals, titles) as transformers ships it, without its list of British and American
spellings: that list is a file of the hub's Whisper folders, so "colour" against "color" counts as an error. Price:
rates a little above those of papers that use the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from transformers.models.whisper.english_normalizer import EnglishTextNormalizer


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
    try:
        import jiwer
    except ImportError as error:
        raise ValueError("word error rates need the package jiwer; pip install 'megatron-speech[eval]'") from error

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
    truth, guess = [pair[0] for pair in kept], [pair[1] for pair in kept]
    words = jiwer.process_words(truth, guess)
    return {
        "wer": words.wer,
        "cer": jiwer.cer(truth, guess),
        "substitutions": words.substitutions,
        "deletions": words.deletions,
        "insertions": words.insertions,
        "words": words.hits + words.substitutions + words.deletions,
        "utterances": len(kept),
        "skipped": len(pairs) - len(kept),
    }


@cache
def _normalizer() -> EnglishTextNormalizer:
    return EnglishTextNormalizer({})
