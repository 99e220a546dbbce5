"""Audio shards of speech that lies elsewhere: recordings of any kind in a table, or in WebDataset tars.

Every recording is decoded, checked and brought to 16 kHz once (`utterances`), so no later stage resamples. A shard is
made by one process from its part of the corpus alone, so workers change no byte, and a finished one survives a kill by
its receipt. Cost: tables are held in memory, and the files they name are known by name only, not by content.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from megatron_speech.artifacts.files import read_json, write_atomic
from megatron_speech.artifacts.left_out import LEAST_JUDGED, show
from megatron_speech.artifacts.manifest import UNRECORDED, Draft, is_made, make_artifact
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.artifacts.tasks import in_processes
from megatron_speech.audio.checks import AudioError
from megatron_speech.audio.quarantine import QUARANTINE, require_few, write_quarantine
from megatron_speech.audio.shards import AudioRecord, BadRecord, audio_facts, write_audio_shard
from megatron_speech.audio.sources.listed import require_new
from megatron_speech.audio.sources.parts import Part, find_parts
from megatron_speech.audio.sources.wholes import Whole, require_one_text, whole_of
from megatron_speech.audio.utterances import Recordings, utterances
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.stages.import_speech import ImportSpeechConfig

logger = logging.getLogger(__name__)

_NO_PART = ("workers", "max_quarantined_share")
"""Settings that change no shard: they are no part of the manifest, and work is kept where they change."""
_HEARD = {
    "first": "the first is heard",
    "loudest": "the loudest is heard",
    "mix": "their mean is heard",
    "split": "each that speaks is an utterance",
}


def import_speech(config: ImportSpeechConfig) -> None:
    """Make the audio folder `config.output`.

    Raises:
        FileNotFoundError: the table is missing, or no tar fits the pattern.
        ValueError: a row or tar is damaged, an id repeats, or too much is unusable; finished shards are kept.
    """
    parts, inputs = find_parts(config)
    settings = {name: value for name, value in to_dict(config).items() if name not in _NO_PART}
    if is_made(config.output, kind="audio", config=settings, inputs=inputs):
        logger.info("%s is already made", config.output)
        return
    with make_artifact(config.output, kind="audio", config=settings, inputs=inputs) as draft:
        draft.licences.add(config.licence or UNRECORDED)
        draft.languages |= {config.language} if config.language else set()
        _make_shards(config, parts, draft)
    facts = draft.facts
    logger.info(
        "%s: %d utterances, %.2f hours, quarantined %s%s",
        *(
            config.output,
            facts["utterances"],
            facts["hours"],
            show(Counter(facts["quarantined"])),
            _channels(config, facts),
        ),
    )


def _channels(config: ImportSpeechConfig, facts: dict[str, Any]) -> str:
    """What was heard of recordings with several channels, where there are any."""
    chosen, moved = facts["utterances_of_channels_by_setting"], facts["utterances_of_silent_first_channel"]
    if not chosen:
        return ""
    said = f"; {chosen} utterances are of recordings with several channels, of which {_HEARD[config.channels]}"
    return f"{said} (of {moved} it is silent, and another is heard)" if moved else said


def _make_shards(config: ImportSpeechConfig, parts: Sequence[Part], draft: Draft) -> None:
    receipts = [draft.folder / f"audio-{part.number:06d}.json" for part in parts]
    waiting = [part for part in parts if not receipts[part.number].is_file()]
    bad: list[BadRecord] = []
    read = 0
    work = partial(make_shard, draft.folder, config)
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
    wholes: dict[str, Whole] = {}
    for key, place in (pair for receipt in made for pair in receipt["ids"]):
        require_new(key, place, places)
    for whole in (Whole(*row) for receipt in made for row in receipt["wholes"]):
        require_one_text(whole, wholes, config)
    require_few(bad, len(places) + len(bad), config.max_quarantined_share)
    if not places:
        reasons = show(Counter(record.reason for record in bad))
        first = f"; the first: {bad[0].message}" if bad else ""
        raise ValueError(f"{config.table or config.tars}: no usable utterance in it ({reasons}){first}")
    draft.facts |= audio_facts([receipt["shard"] for receipt in made if receipt["ids"]])
    draft.facts["quarantined"] = dict(sorted(Counter(record.reason for record in bad).items()))
    for name in ("several_channels", "channels_by_setting", "silent_first_channel"):
        draft.facts[f"utterances_of_{name}"] = sum(receipt["counts"].get(name, 0) for receipt in made)
    write_quarantine(draft.folder / QUARANTINE, bad)
    for path in receipts:
        path.unlink()


def make_shard(folder: Path, config: ImportSpeechConfig, part: Part) -> dict[str, Any]:
    """Write the shard of `part` and its receipt, which says what is in it and what was left out."""
    path = folder / f"audio-{part.number:06d}.tar"
    bad: list[dict[str, str]] = []
    places: dict[str, str] = {}
    wholes: dict[str, Whole] = {}
    counts: Counter[str] = Counter()
    recordings = Recordings()

    def records() -> Iterator[AudioRecord]:
        for listed in part.read():
            try:
                found = utterances(listed, config, recordings)
            except AudioError as error:
                bad.append({"shard": path.name, "key": listed.key, "reason": error.reason, "message": str(error)})
                continue
            if (whole := whole_of(listed, config)) is not None:
                require_one_text(whole, wholes, config)
            for utterance in found:
                require_new(utterance.record.key, listed.place, places)
                counts["several_channels"] += utterance.record.channels > 1
                counts["channels_by_setting"] += utterance.by_setting
                counts["silent_first_channel"] += utterance.moved
                yield utterance.record

    shard = write_audio_shard(path, records())
    recordings.close()
    if not places:
        path.unlink()
    receipt = {
        "shard": shard,
        "ids": list(places.items()),
        "bad": bad,
        "counts": counts,
        "wholes": list(wholes.values()),
    }
    write_atomic(path.with_suffix(".json"), to_json(receipt))
    return receipt
