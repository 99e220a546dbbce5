"""Utterances that cannot be used: listed, counted by reason, and an error where they are more than a small share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from megatron_speech.artifacts import left_out
from megatron_speech.audio.checks import is_silent, peak_of, printable
from megatron_speech.audio.shards import AudioRecord, AudioShard, BadRecord

QUARANTINE = "quarantine.jsonl"
"""Utterances that were left out, one JSON object with shard, key, reason and message each."""


def silence(shard: AudioShard, record: AudioRecord, peak_dbfs: float | None) -> BadRecord | None:
    """The entry of an utterance of `shard` that is silent: nothing comes up to `peak_dbfs` (`checks.is_silent`).

    None where something does, or where `peak_dbfs` is null.
    """
    if peak_dbfs is None:
        return None
    if not is_silent(record.waveform, peak_dbfs):
        return None
    return shard.bad(record.key, "silent", f"peak {peak_of(record.waveform):.2g} of full scale; silent")


def write_quarantine(path: Path, quarantined: Iterable[BadRecord]) -> None:
    """Write the list, whatever bytes a name holds."""
    rows = ({key: printable(value) for key, value in asdict(record).items()} for record in quarantined)
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))


def read_quarantine(path: Path) -> list[BadRecord]:
    """The list as it was written."""
    return [BadRecord(**orjson.loads(line)) for line in path.read_bytes().splitlines()]


def require_few(quarantined: Sequence[BadRecord], utterances: int, share: float) -> None:
    """ValueError where more than `share` of `utterances` (and more than one) are quarantined."""
    if quarantined:
        reasons, first = Counter(record.reason for record in quarantined), printable(quarantined[0].message)
        left_out.require_few(reasons, utterances, share, what="utterances", first=first, remedy="mend the audio")
