"""Measure how much text a tokenizer loses: unknown tokens, and characters that are missing after decoding.

A vocabulary without byte fallback encodes unknown text as an unknown token; a normaliser may change case, accents or
spaces. Unknown tokens are counted in all documents. Decoding costs as much as encoding, so only a fixed sample of
documents is decoded: the first FIRST_DOCUMENTS, then one of EVERY.

Limitation: reordered or added characters count as a changed document, not as lost characters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from megatron_speech.artifacts.facts.text import TextLossFacts
from megatron_speech.text_tokenizer.sentencepiece_model import PROBES
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer

FIRST_DOCUMENTS = 256
"""Number of documents at the beginning that are all decoded."""
EVERY = 64
"""After FIRST_DOCUMENTS, every document with a multiple of this number is decoded."""
LONGEST = 1 << 16
"""Only this many characters of a longer document are decoded."""
SHOWN = 5
"""Number of characters listed as lost most often."""
COUNTS = ("documents_checked", "characters_checked", "documents_changed", "characters_lost", "unknown_tokens")


class TextLoss:
    """Counts the losses of one task's documents, which have to arrive in order."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._counts: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._seen = 0

    def count(self, text: str, ids: Sequence[int] | np.ndarray) -> bool:
        """Count one document; return whether it was decoded."""
        unknown = self._tokenizer.unknown
        if unknown is not None:
            self._counts["unknown_tokens"] += int(np.count_nonzero(np.asarray(ids) == unknown))
        self._seen += 1
        chosen = self._seen <= FIRST_DOCUMENTS or self._seen % EVERY == 0
        if chosen:
            self._decode(text, ids)
        return chosen

    @property
    def checked(self) -> int:
        """Number of decoded documents."""
        return self._counts["documents_checked"]

    def facts(self) -> TextLossFacts:
        """The counts, with the characters that were lost most often."""
        return _facts(self._counts, self._lost)

    def _decode(self, text: str, ids: Sequence[int] | np.ndarray) -> None:
        if len(text) > LONGEST:
            text = text[:LONGEST]
            ids = self._tokenizer.encode(text)
        known = [number for number in np.asarray(ids).tolist() if number != self._tokenizer.unknown]
        back = self._tokenizer.decode(known)
        self._counts["documents_checked"] += 1
        self._counts["characters_checked"] += len(text)
        if back != text:
            lost = Counter(text)
            lost.subtract(back)
            self._lost += lost  # keeps only positive counts
            self._counts["documents_changed"] += 1
            self._counts["characters_lost"] += sum((+lost).values())


def probe(tokenizer: TextTokenizer) -> TextLossFacts:
    """`TextLoss.facts` of short texts in many scripts (PROBES)."""
    loss = TextLoss(tokenizer)
    for text in PROBES:
        loss.count(text, tokenizer.encode(text))
    return loss.facts()


def add_losses(facts: Sequence[TextLossFacts]) -> TextLossFacts:
    """Sum of the facts of several tasks."""
    lost: Counter[str] = Counter()
    for fact in facts:
        lost.update(fact.most_lost)
    return _facts({key: sum(getattr(fact, key) for fact in facts) for key in COUNTS}, lost)


def _facts(counts: Mapping[str, int], lost: Counter[str]) -> TextLossFacts:
    return TextLossFacts(**{key: counts[key] for key in COUNTS}, most_lost=dict(lost.most_common(SHOWN)))


def loss_in_words(facts: TextLossFacts) -> str:
    """The loss in words, with the characters lost most often; "" if nothing is lost."""
    lost, checked = facts.characters_lost, facts.characters_checked
    if not lost and not facts.unknown_tokens:
        return ""
    often = ", ".join(f"{character!r} {count}" for character, count in facts.most_lost.items())
    return (
        f"{lost} of {checked} characters ({lost / max(1, checked):.2%}) do not come back from their ids"
        f"{', most often ' if often else ''}{often}"
    )


def require_little_lost(facts: TextLossFacts, share: float, *, holder: str) -> None:
    """Raise ValueError if more than `share` of the characters were lost; `holder` names text and tokenizer."""
    if facts.characters_lost > share * facts.characters_checked:
        raise ValueError(
            f"{holder}: {loss_in_words(facts)}; more than max_lost_share={share:g}: use a tokenizer with byte fallback "
            "and without such normalisation, or raise the share"
        )
