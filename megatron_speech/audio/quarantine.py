"""Utterances that cannot be used: listed, counted by reason, and an error where they are more than a small share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from megatron_speech.audio.shards import BadRecord

QUARANTINE = "quarantine.jsonl"
"""Utterances that were left out, one JSON object with shard, key, reason and message each."""
LEAST_JUDGED = 1000
"""Utterances that are read before their quarantined share can stop the work."""


def require_few(quarantined: Sequence[BadRecord], utterances: int, share: float) -> None:
    """ValueError where more than `share` of `utterances` (and more than one) are quarantined."""
    if len(quarantined) > max(1, share * utterances):
        reasons = Counter(record.reason for record in quarantined)
        raise ValueError(
            f"{len(quarantined)} of {utterances} utterances are unusable ({show(reasons)}), more than "
            f"max_quarantined_share={share:g}; the first: {quarantined[0].message}; mend the audio or raise the share"
        )


def show(counts: Counter[str]) -> str:
    """ "silent 3, not audio 1", or "none"."""
    return ", ".join(f"{reason} {count}" for reason, count in counts.most_common()) or "none"
