"""Audio shards of speech that lies elsewhere: recordings of any kind in a table, or in WebDataset tars.

Every recording is decoded, its first channel taken and brought to 16 kHz once, so no later stage resamples. A shard is
made by one process from its part of the source alone, so workers change no byte, and a finished one survives a kill by
its receipt. Price: tables are held in memory, and the files they name are known by name only, not by content.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from tqdm import tqdm

from megatron_speech.artifact import Draft, is_made, make_artifact, read_json, write_atomic
from megatron_speech.audio.io import SAMPLE_RATE, AudioError, decode, resample
from megatron_speech.audio.quarantine import LEAST_JUDGED, QUARANTINE, require_few, show
from megatron_speech.audio.shards import AudioRecord, BadRecord, audio_facts, write_audio_shard
from megatron_speech.audio.sources.parts import Part, find_parts
from megatron_speech.audio.sources.source import Source, require_new
from megatron_speech.config.import_speech import ImportSpeechConfig
from megatron_speech.plain_json import to_json
from megatron_speech.tasks import in_processes

log = logging.getLogger(__name__)


def import_speech(config: ImportSpeechConfig) -> None:
    """Make the audio folder `config.output`.

    Raises:
        FileNotFoundError: the table is missing, or no tar fits the pattern.
        ValueError: a row or tar is damaged, an id repeats, or too much is unusable; finished shards are kept.
    """
    parts, inputs = find_parts(config)
    # What changes no shard: work is kept where these change.
    settings = replace(config, workers=1, max_quarantined_share=1.0)
    if is_made(config.output, kind="audio", config=settings, inputs=inputs):
        log.info("%s is already made", config.output)
        return
    with make_artifact(config.output, kind="audio", config=settings, inputs=inputs) as draft:
        draft.licences |= {config.licence} if config.licence else set()
        draft.languages |= {config.language} if config.language else set()
        _make_shards(config, parts, draft)
    facts = draft.facts
    log.info(
        "%s: %d utterances, %.2f hours, quarantined %s",
        *(config.output, facts["utterances"], facts["hours"], show(Counter(facts["quarantined"]))),
    )


def _make_shards(config: ImportSpeechConfig, parts: Sequence[Part], draft: Draft) -> None:
    receipts = [draft.folder / f"audio-{part.number:06d}.json" for part in parts]
    waiting = [part for part in parts if not receipts[part.number].is_file()]
    bad: list[BadRecord] = []
    read = 0
    work = partial(make_shard, draft.folder, config.transcripts)
    done = (
        in_processes(work, waiting, workers=config.workers, number=lambda part: part.number)
        if config.workers > 1
        else map(work, waiting)
    )
    with tqdm(desc=f"import {config.output.name}", unit="utterance", disable=None) as bar:
        for receipt in done:
            read += len(receipt["ids"]) + len(receipt["bad"])
            bar.update(len(receipt["ids"]) + len(receipt["bad"]))
            bad += [BadRecord(**record) for record in receipt["bad"]]
            if read >= LEAST_JUDGED:
                require_few(bad, read, config.max_quarantined_share)
    made = [read_json(receipt) for receipt in receipts]
    bad = [BadRecord(**record) for receipt in made for record in receipt["bad"]]
    places: dict[str, str] = {}
    for key, place in (pair for receipt in made for pair in receipt["ids"]):
        require_new(key, place, places)
    require_few(bad, len(places) + len(bad), config.max_quarantined_share)
    if not places:
        reasons = show(Counter(record.reason for record in bad))
        first = f"; the first: {bad[0].message}" if bad else ""
        raise ValueError(f"{config.table or config.tars}: no usable utterance in it ({reasons}){first}")
    draft.facts |= audio_facts([receipt["shard"] for receipt in made if receipt["ids"]])
    draft.facts["quarantined"] = dict(sorted(Counter(record.reason for record in bad).items()))
    draft.facts["utterances_of_several_channels"] = sum(receipt["several_channels"] for receipt in made)
    lines = [orjson.dumps(asdict(record)) + b"\n" for record in bad]
    (draft.folder / QUARANTINE).write_bytes(b"".join(lines))
    for path in receipts:
        path.unlink()


def make_shard(folder: Path, transcripts: bool, part: Part) -> dict[str, Any]:
    """Write the shard of `part` and its receipt, which says what is in it and what was left out."""
    path = folder / f"audio-{part.number:06d}.tar"
    bad: list[dict[str, str]] = []
    places: dict[str, str] = {}
    channels: list[int] = []

    def records() -> Iterator[AudioRecord]:
        for source in part.read():
            try:
                record = _record(source, transcripts=transcripts)
            except AudioError as error:
                bad.append({"shard": path.name, "key": source.key, "reason": error.reason, "message": str(error)})
                continue
            require_new(source.key, source.place, places)
            channels.append(record.channels)
            yield record

    shard = write_audio_shard(path, records())
    if not places:
        path.unlink()
    several = sum(count > 1 for count in channels)
    receipt = {"shard": shard, "ids": list(places.items()), "bad": bad, "several_channels": several}
    write_atomic(path.with_suffix(".json"), to_json(receipt))
    return receipt


def _record(source: Source, *, transcripts: bool) -> AudioRecord:
    """The utterance; `AudioError` says why there is none."""
    name, audio = f"{source.place} ({source.name})", source.audio
    if source.defect is not None:
        reason, why = source.defect
        raise AudioError(f"{name}: {why}", reason)
    if transcripts and not (source.text or "").strip():
        raise AudioError(f"{name}: no text; write it, leave the row out, or set transcripts to false", "no text")
    if audio is None:
        raise AudioError(f"{name}: no recording; add it", "incomplete")
    try:
        data = audio if isinstance(audio, bytes) else audio.read_bytes()
    except OSError as error:
        raise AudioError(f"{name}: {error.filename}: {error.strerror}; correct the path", "unreadable") from error
    waveform, rate, channels = decode(data, name=name)
    meta = source.meta if source.key == source.name else {**source.meta, "source_id": source.name}
    waveform = resample(waveform, rate, SAMPLE_RATE)
    return AudioRecord(key=source.key, waveform=waveform, text=source.text or "", meta=meta, channels=channels)
