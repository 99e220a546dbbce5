"""Audio shards of speech that lies elsewhere: recordings of any kind in a table, or in WebDataset tars.

Every recording is decoded, its first channel taken and brought to 16 kHz once, so no later stage resamples. A shard is
made by one process from its part of the source alone, so workers change no byte, and a finished one survives a kill by
its receipt. Price: tables are held in memory, and the files they name are known by name only, not by content.
"""

from __future__ import annotations

import csv
import json
import logging
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any

import orjson
from tqdm import tqdm

from megatron_speech.artifact import Draft, input_ids, is_made, make_artifact, read_json, write_atomic
from megatron_speech.audio.io import SAMPLE_RATE, AudioError, decode, resample
from megatron_speech.audio.quarantine import LEAST_JUDGED, QUARANTINE, require_few, show
from megatron_speech.audio.shards import AudioRecord, BadRecord, audio_facts, members_by_key, write_audio_shard
from megatron_speech.config.import_speech import ImportSpeechConfig
from megatron_speech.tasks import in_processes

log = logging.getLogger(__name__)

AUDIO_KINDS = ("flac", "wav", "mp3", "ogg", "opus")
"""Endings of a tar's recordings."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A recording as its user wrote it down."""

    name: str
    """Its id in the source."""
    place: str
    """For errors: the table and line, or the tar."""
    audio: Path | bytes | None
    text: str | None
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The id as a file name."""
        return re.sub(r"[^A-Za-z0-9_-]+", "-", self.name).strip("-") or "utterance"


@dataclass(frozen=True, kw_only=True)
class Part:
    """What becomes one shard."""

    number: int
    sources: Path | tuple[Source, ...]
    """A tar, or rows."""


def import_speech(config: ImportSpeechConfig) -> None:
    """Make the audio folder `config.output`.

    Raises:
        FileNotFoundError: the table is missing, or no tar fits the pattern.
        ValueError: a row or tar is damaged, an id repeats, or too much is unusable; finished shards are kept.
    """
    parts, inputs = _parts(config)
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
    done = in_processes(work, waiting, workers=config.workers) if config.workers > 1 else map(work, waiting)
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
        _require_new(key, place, places)
    require_few(bad, len(places) + len(bad), config.max_quarantined_share)
    if not places:
        raise ValueError(f"{config.table or config.tars}: no usable utterance in it; correct the path")
    draft.facts |= audio_facts([receipt["shard"] for receipt in made if receipt["ids"]])
    draft.facts["quarantined"] = dict(sorted(Counter(record.reason for record in bad).items()))
    draft.facts["utterances_of_several_channels"] = sum(receipt["several_channels"] for receipt in made)
    lines = [orjson.dumps(asdict(record)) + b"\n" for record in bad]
    (draft.folder / QUARANTINE).write_bytes(b"".join(lines))
    for receipt in receipts:
        receipt.unlink()


def make_shard(folder: Path, transcripts: bool, part: Part) -> dict[str, Any]:
    """Write the shard of `part` and its receipt, which says what is in it and what was left out."""
    path = folder / f"audio-{part.number:06d}.tar"
    bad: list[dict[str, str]] = []
    places: dict[str, str] = {}
    channels: list[int] = []

    def records() -> Iterator[AudioRecord]:
        for source in _read_tar(part.sources) if isinstance(part.sources, Path) else part.sources:
            try:
                record = _record(source, transcripts=transcripts)
            except AudioError as error:
                bad.append({"shard": path.name, "key": source.key, "reason": error.reason, "message": str(error)})
                continue
            _require_new(source.key, source.place, places)
            channels.append(record.channels)
            yield record

    shard = write_audio_shard(path, records())
    if not places:
        path.unlink()
    several = sum(count > 1 for count in channels)
    receipt = {"shard": shard, "ids": list(places.items()), "bad": bad, "several_channels": several}
    write_atomic(path.with_suffix(".json"), json.dumps(receipt))
    return receipt


def _record(source: Source, *, transcripts: bool) -> AudioRecord:
    """The utterance; `AudioError` says why there is none."""
    name = f"{source.place} ({source.name})"
    if transcripts and not (source.text or "").strip():
        raise AudioError(f"{name}: no text; write it, leave the row out, or set transcripts to false", "no text")
    if source.audio is None:
        raise AudioError(f"{name}: none of .{', .'.join(AUDIO_KINDS)}; add the recording", "incomplete")
    try:
        data = source.audio if isinstance(source.audio, bytes) else source.audio.read_bytes()
    except OSError as error:
        raise AudioError(f"{name}: {source.audio}: {error.strerror}; correct the path", "unreadable") from error
    waveform, rate, channels = decode(data, name=name)
    meta = source.meta if source.key == source.name else {**source.meta, "source_id": source.name}
    waveform = resample(waveform, rate, SAMPLE_RATE)
    return AudioRecord(key=source.key, waveform=waveform, text=source.text or "", meta=meta, channels=channels)


def _require_new(key: str, place: str, places: dict[str, str]) -> None:
    if key in places:
        raise ValueError(f"{place}: id {key!r} already stands at {places[key]}; ids must be unique, rename one")
    places[key] = place


def _parts(config: ImportSpeechConfig) -> tuple[list[Part], dict[str, str]]:
    """The parts of the work, and the identities of what they are made from."""
    if config.table is not None:
        if not config.table.is_file():
            raise FileNotFoundError(f"table={config.table} does not exist; correct the path")
        rows, size = _rows(config.table), config.utterances_per_shard
        groups = [tuple(rows[start : start + size]) for start in range(0, len(rows), size)]
        return [Part(number=n, sources=group) for n, group in enumerate(groups)], input_ids([config.table])
    tars = [Path(name) for name in sorted(glob(str(config.tars), recursive=True))]  # noqa: PTH207 (a pattern may be absolute)
    if not tars:
        raise FileNotFoundError(f"tars={config.tars} fits no file; correct the pattern")
    # By size and time: a checksum would read terabytes twice.
    facts = {str(tar): f"{tar.stat().st_size} bytes at {tar.stat().st_mtime_ns}" for tar in tars}
    return [Part(number=n, sources=tar) for n, tar in enumerate(tars)], facts


def _rows(table: Path) -> list[Source]:
    """ValueError names a line that is no row, or an id that repeats."""
    places: dict[str, str] = {}
    rows = []
    with table.open(encoding="utf-8", newline="") as file:
        lines: Iterator[Any] = iter(file)
        if table.suffix == ".tsv":
            lines = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        for number, line in enumerate(lines, start=1 if table.suffix == ".jsonl" else 2):
            place = f"{table}:{number}"
            try:
                row = orjson.loads(line) if isinstance(line, str) else dict(line)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"{place}: no JSON ({error}); correct the line") from error
            if not isinstance(row, dict) or not isinstance(row.get("audio"), str) or None in row:
                raise ValueError(f"{place}: must be a row with the path 'audio'; correct the line")
            text, name = row.pop("text", None), row.pop("id", None)
            for key, value in (("text", text), ("id", name)):
                if value is not None and not isinstance(value, str):
                    raise ValueError(f"{place}: {key}={value!r:.60} must be a string; put it in quotes")
            audio = table.parent / row["audio"]
            rows.append(Source(name=name or f"{len(rows):09d}", place=place, audio=audio, text=text, meta=row))
            _require_new(rows[-1].key, place, places)
    return rows


def _read_tar(path: Path) -> Iterator[Source]:
    """The recordings of a WebDataset tar; ValueError names one that is damaged."""
    try:
        with path.open("rb") as file:
            for members in members_by_key(file):
                audio = next((members[kind] for kind in AUDIO_KINDS if kind in members), None)
                yield _of_members(path, members, audio)
    except tarfile.TarError as error:
        raise ValueError(f"{path}: damaged, or no tar ({error}); copy it again") from error


def _of_members(path: Path, members: dict[str, bytes], audio: bytes | None) -> Source:
    name, place = members["key"].decode().removeprefix("./"), str(path)
    try:
        meta = json.loads(members.get("json", b"{}"))
        text = members["txt"].decode() if "txt" in members else None
        if not isinstance(meta, dict):
            raise ValueError(f"{meta!r:.60} is no object")
    except ValueError as error:
        raise ValueError(f"{path} ({name}): its .txt is not UTF-8 or its .json no object ({error}); mend it") from error
    if text is None and isinstance(meta.get("text"), str):
        text = meta["text"]
    return Source(name=name, place=place, audio=audio, text=text, meta=meta)
