"""Quarantine: the list of unusable utterances, counted by reason; too many are an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from megatron_speech.artifacts import left_out
from megatron_speech.audio.checks import is_silent, peak_of, printable
from megatron_speech.audio.shards import AudioRecord, AudioShard, BadRecord

QUARANTINE = "quarantine.jsonl"
"""File with one JSON object (shard, key, reason, message) for each utterance that was left out."""


def silence(shard: AudioShard, record: AudioRecord, peak_dbfs: float | None) -> BadRecord | None:
    """Quarantine entry of `record` if its peak is below `peak_dbfs` (`checks.is_silent`), else None.

    A `peak_dbfs` of None switches the check off.
    """
    if peak_dbfs is None:
        return None
    if not is_silent(record.waveform, peak_dbfs):
        return None
    return shard.bad(record.key, "silent", f"peak {peak_of(record.waveform):.2g} of full scale; silent")


def write_quarantine(path: Path, quarantined: Iterable[BadRecord]) -> None:
    """Write the list as JSON lines; undecodable bytes in names are escaped."""
    rows = ({key: printable(value) for key, value in record.to_json().items()} for record in quarantined)
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))


def read_quarantine(path: Path) -> list[BadRecord]:
    """Read a list that `write_quarantine` wrote."""
    return [BadRecord.from_json(orjson.loads(line)) for line in path.read_bytes().splitlines()]


def told(path: Path, share: float) -> str:
    """Part of the last log line: the first utterance of the list, and the rule of `require_few`; "" without any."""
    if not (quarantined := read_quarantine(path)):
        return ""
    rule = f"two or more stop the import if they are above max_quarantined_share={share:g} of all"
    return f" (the first: {quarantined[0].message}; all in {path}; {rule})"


def require_few(quarantined: Sequence[BadRecord], utterances: int, share: float) -> None:
    """Raise ValueError if more than one, and more than `share` of the `utterances`, are quarantined."""
    if quarantined:
        reasons, first = Counter(record.reason for record in quarantined), printable(quarantined[0].message)
        left_out.require_few(reasons, utterances, share, what="utterances", first=first, remedy="mend the audio")
