"""Import speech into audio shards from tables, folders and tars of recordings.

Every recording is decoded, checked and resampled to 16 kHz once (`utterances`), so no later stage resamples. The corpus
is cut into parts before any process starts, one per shard, so the number of workers does not change a byte. A receipt
file marks a finished shard: after a kill, the next run keeps shards with a receipt and makes the others.

Cost: tables are held in memory. Limitation: a change in a recording that a table names goes unnoticed, because only
its name is part of the output's identity.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.audio import AudioFacts, AudioShardFacts
from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.files import read_json, write_atomic
from megatron_speech.artifacts.left_out import LEAST_JUDGED, show
from megatron_speech.artifacts.manifest import UNRECORDED, Draft, is_made, make_artifact
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.artifacts.shared_counts import SharedCounts, TaskCount
from megatron_speech.artifacts.tasks import in_processes
from megatron_speech.audio.checks import AudioError
from megatron_speech.audio.quarantine import QUARANTINE, require_few, told, write_quarantine
from megatron_speech.audio.shards import AudioRecord, BadRecord, audio_facts, write_audio_shard
from megatron_speech.audio.sources.listed import require_new
from megatron_speech.audio.sources.parts import Part, find_parts
from megatron_speech.audio.sources.wholes import Whole, require_one_text, whole_of
from megatron_speech.audio.utterances import Recordings, utterances
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.stages.import_speech import ImportSpeechConfig
from megatron_speech.progress import Progress

logger = logging.getLogger(__name__)

_NOT_IN_MANIFEST = ("workers", "max_quarantined_share")
"""Settings that do not affect the shards. They are left out of the manifest, so that finished shards stay valid when
they change."""
_HEARD = {
    "first": "the first is used",
    "loudest": "the loudest is used",
    "mix": "their mean is used",
    "split": "each with speech is an utterance",
}
"""What the log says of recordings with several channels, by the setting `channels`."""


@dataclass(frozen=True, kw_only=True)
class Receipt(Record):
    """What is in a finished shard, and what was left out of it."""

    shard: AudioShardFacts
    """The shard."""
    ids: tuple[tuple[str, str], ...]
    """Key of each utterance, and the place in the corpus where it is listed."""
    bad: tuple[BadRecord, ...]
    """Utterances left out."""
    counts: dict[str, int]
    """Numbers of utterances whose recording has several channels: all, and by how the channel was chosen."""
    wholes: tuple[Any, ...]
    """Rows that name a whole recording, each a `Whole`; they show whether rows give one recording several texts."""


def import_speech(config: ImportSpeechConfig) -> None:
    """Make the audio folder `config.output`.

    Raises:
        FileNotFoundError: the table is missing, or no tar matches the pattern.
        ValueError: a row or tar is damaged, an id repeats, or too many utterances are unusable; finished shards are
            kept.
    """
    with Progress("import_speech: find the recordings", late=True):
        parts, inputs = find_parts(config)
    settings = {name: value for name, value in to_dict(config).items() if name not in _NOT_IN_MANIFEST}
    if is_made(config.output, kind="audio", config=settings, inputs=inputs):
        logger.info("%s is already made", config.output)
        return
    with make_artifact(config.output, kind="audio", config=settings, inputs=inputs) as draft:
        draft.licences.add(config.licence or UNRECORDED)
        draft.languages |= {config.language} if config.language else set()
        facts = draft.facts = _make_shards(config, parts, draft)
    left_out = show(facts.quarantined or {}) + told(config.output / QUARANTINE, config.max_quarantined_share)
    logger.info(
        "%s: %d utterances, %.2f hours, quarantined %s%s",
        *(config.output, facts.utterances, facts.hours, left_out, _channels(config, facts)),
    )


def _channels(config: ImportSpeechConfig, facts: AudioFacts) -> str:
    """Part of the log line about recordings with several channels; "" if there are none."""
    chosen, moved = facts.utterances_of_channels_by_setting, facts.utterances_of_silent_first_channel
    if not chosen:
        return ""
    said = f"; {chosen} utterances come from recordings with several channels: {_HEARD[config.channels]}"
    return f"{said} (in {moved} it is silent, and another is used)" if moved else said


def _make_shards(config: ImportSpeechConfig, parts: Sequence[Part], draft: Draft) -> AudioFacts:
    receipts = [draft.folder / f"audio-{part.number:06d}.json" for part in parts]
    waiting = [part for part in parts if not receipts[part.number].is_file()]
    # Make the missing shards; stop early if too much is unusable.
    bad: list[BadRecord] = []
    read = 0
    sizes = [config.utterances_per_shard if part.utterances is None else part.utterances for part in parts]
    known = all(part.utterances is not None for part in parts)
    shared = SharedCounts(f"import_speech {config.output.name}", sizes, unit="utterances", counted=known)
    work = partial(make_shard, draft.folder, config, counts=shared)
    done = (
        in_processes(work, waiting, workers=config.workers, number=lambda part: part.number)
        if config.workers > 1
        else map(work, waiting)
    )
    with shared.shown(range(len(parts))):
        for number in {part.number for part in parts} - {part.number for part in waiting}:
            shared.of_task(number).end()
        for receipt in done:
            read += len(receipt.ids) + len(receipt.bad)
            bad += receipt.bad
            if read >= LEAST_JUDGED:
                require_few(bad, read, config.max_quarantined_share)
    # Check across shards, from all receipts: ids are unique, and a whole recording has one text.
    made = [Receipt.from_json(read_json(receipt)) for receipt in receipts]
    bad = [record for receipt in made for record in receipt.bad]
    places: dict[str, str] = {}
    wholes: dict[str, Whole] = {}
    for key, place in (pair for receipt in made for pair in receipt.ids):
        require_new(key, place, places)
    for whole in (Whole(*row) for receipt in made for row in receipt.wholes):
        require_one_text(whole, wholes, config)
    require_few(bad, len(places) + len(bad), config.max_quarantined_share)
    if not places:
        reasons = show(Counter(record.reason for record in bad))
        first = f"; the first: {bad[0].message}" if bad else ""
        raise ValueError(f"{config.table or config.tars}: no usable utterance in it ({reasons}){first}")
    # Write facts and quarantine, and remove the receipts.
    counts = sum((Counter(receipt.counts) for receipt in made), Counter[str]())
    facts = replace(
        audio_facts([receipt.shard for receipt in made if receipt.ids]),
        quarantined=dict(sorted(Counter(record.reason for record in bad).items())),
        utterances_of_several_channels=counts["several_channels"],
        utterances_of_channels_by_setting=counts["channels_by_setting"],
        utterances_of_silent_first_channel=counts["silent_first_channel"],
    )
    write_quarantine(draft.folder / QUARANTINE, bad)
    for path in receipts:
        path.unlink()
    return facts


def make_shard(folder: Path, config: ImportSpeechConfig, part: Part, *, counts: SharedCounts | None = None) -> Receipt:
    """Write the shard of `part` and its receipt (ids, unusable utterances, counts); return the receipt."""
    path = folder / f"audio-{part.number:06d}.tar"
    bad: list[BadRecord] = []
    places: dict[str, str] = {}
    wholes: dict[str, Whole] = {}
    channels: Counter[str] = Counter()
    recordings = Recordings()
    count = counts.of_task(part.number) if counts else TaskCount.unseen()

    # Collect facts while the records are written.
    def records() -> Iterator[AudioRecord]:
        for listed in part.read():
            count.add(of=part.utterances)
            try:
                found = utterances(listed, config, recordings)
            except AudioError as error:
                bad.append(BadRecord(shard=path.name, key=listed.key, reason=error.reason, message=str(error)))
                continue
            if (whole := whole_of(listed, config)) is not None:
                require_one_text(whole, wholes, config)
            for utterance in found:
                require_new(utterance.record.key, listed.place, places)
                channels["several_channels"] += utterance.record.channels > 1
                channels["channels_by_setting"] += utterance.by_setting
                channels["silent_first_channel"] += utterance.moved
                yield utterance.record

    shard = write_audio_shard(path, records())
    recordings.close()
    # Drop an empty shard; write the receipt last.
    if not places:
        path.unlink()
    receipt = Receipt(
        shard=shard, ids=tuple(places.items()), bad=tuple(bad), counts=dict(channels), wholes=tuple(wholes.values())
    )
    write_atomic(path.with_suffix(".json"), to_json(receipt.to_json()))
    count.end()
    return receipt
