"""How much of a text a tokenizer loses: unknown tokens, and characters that do not come back from the ids.

A vocabulary without byte fallback writes one unknown token for whatever it has no piece for; a normaliser may fold
case, accents or spaces. Unknown tokens are counted in all documents. Decoding costs as much as encoding, so documents
are decoded again by a fixed sample: the first ones, then one of many. Limitation: what comes back in another order, or
with more characters than there were, is counted as changed but not as lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from megatron_speech.text_tokenizer.sentencepiece_model import PROBES
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer

FIRST_DOCUMENTS = 256
"""Documents at the beginning that are all decoded again..."""
EVERY = 64
"""...and one of so many after them..."""
LONGEST = 1 << 16
"""...or the first so many characters of a longer one."""
SHOWN = 5
"""Characters lost most often that are told."""
COUNTS = ("documents_checked", "characters_checked", "documents_changed", "characters_lost", "unknown_tokens")


class TextLoss:
    """Counts of the documents of one task, in their order."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._counts: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._seen = 0

    def count(self, text: str, ids: Sequence[int] | np.ndarray) -> bool:
        """Count one document; whether it was decoded again."""
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
        """Documents that were decoded again."""
        return self._counts["documents_checked"]

    def facts(self) -> dict[str, Any]:
        """The counts as plain JSON, with the characters that were lost most often."""
        return {**{key: self._counts[key] for key in COUNTS}, "most_lost": dict(self._lost.most_common(SHOWN))}

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
            self._lost += lost  # which keeps what is above zero
            self._counts["documents_changed"] += 1
            self._counts["characters_lost"] += sum((+lost).values())


def probe(tokenizer: TextTokenizer) -> dict[str, Any]:
    """What `tokenizer` loses of short texts in many scripts, as `TextLoss.facts`."""
    loss = TextLoss(tokenizer)
    for text in PROBES:
        loss.count(text, tokenizer.encode(text))
    return loss.facts()


def add_losses(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The facts of several tasks as those of one."""
    lost: Counter[str] = Counter()
    for fact in facts:
        lost.update(fact["most_lost"])
    return {**{key: sum(fact[key] for fact in facts) for key in COUNTS}, "most_lost": dict(lost.most_common(SHOWN))}


def loss_in_words(facts: Mapping[str, Any]) -> str:
    """What is lost, with the characters that it hits most often; empty where nothing is."""
    lost, checked = facts["characters_lost"], facts["characters_checked"]
    if not lost and not facts["unknown_tokens"]:
        return ""
    often = ", ".join(f"{character!r} {count}" for character, count in facts["most_lost"].items())
    return (
        f"{lost} of {checked} characters ({lost / max(1, checked):.2%}) do not come back from their ids"
        f"{', most often ' if often else ''}{often}"
    )


def require_little_lost(facts: Mapping[str, Any], share: float, *, holder: str) -> None:
    """ValueError where more than `share` of the characters did not come back; `holder` is what was encoded by what."""
    if facts["characters_lost"] > share * facts["characters_checked"]:
        raise ValueError(
            f"{holder}: {loss_in_words(facts)}; more than max_lost_share={share:g}: use a tokenizer with byte fallback "
            "and without such normalisation, or raise the share"
        )
