"""Synthesises the utterances of a corpus with the voices, into audio shards.

One process per core runs the single-threaded voices. Utterances keep their order, so the shards do not depend on the
number of cores. Finished shards are kept after an interruption, and the next attempt makes only the missing ones.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from megatron_speech.artifacts.facts.audio import AudioFacts, AudioShardFacts
from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.audio.shards import AudioRecord, audio_facts, write_audio_shard, write_audio_shards
from megatron_speech.config.stages.miniature import SpeakCorpusConfig
from megatron_speech.miniature.catalogue import credit, pin_named
from megatron_speech.miniature.recordings import PACKAGES_READ, read_recordings
from megatron_speech.miniature.utterances import PlannedUtterance, plan_utterances
from megatron_speech.miniature.voices import Voice, has_voice, open_voice, require_voice, voice_packages
from megatron_speech.progress import Progress, follow

logger = logging.getLogger(__name__)

UTTERANCES_PER_SHARD = 500


def speak_corpus(config: SpeakCorpusConfig) -> None:
    """Make the audio folder `config.output`, from voices or, for the part "human", from recordings."""
    if is_made(config.output, kind="audio", config=config, inputs=[config.corpus]):
        logger.info("%s is already made", config.output)
        return
    with make_artifact(config.output, kind="audio", config=config, inputs=[config.corpus]) as draft:
        if config.part == "human":
            draft.licences.clear()  # these recordings contain no text of the corpus
            draft.languages.clear()
            credit(draft, (name for name in PACKAGES_READ if pin_named(name).is_fetched(config.assets)))
            facts = _copy_recordings(config, draft.folder)
        else:
            voices = available_voices(config)
            utterances = plan_utterances(config, voices)
            for voice in {utterance.voice for utterance in utterances}:
                credit(draft, voice_packages(voice))
            facts = speak(utterances, assets=config.assets, folder=draft.folder, name=config.part)
            facts = replace(facts, voices_left_out=tuple(sorted(set(config.utterances) - set(voices))))
        draft.facts = facts
    logger.info("%s: %d utterances, %.2f hours", config.output, facts.utterances, facts.hours)


def available_voices(config: SpeakCorpusConfig) -> dict[str, int]:
    """Numbers of utterances by voice, without voices that were not fetched; only flite's voices may be missing."""
    voices = {}
    for name, count in config.utterances.items():
        if name == "hibari" or has_voice(name, config.assets):
            voices[name] = count
        else:
            logger.warning("left out: %d utterances of voice %s; its Debian package was not fetched", count, name)
    return {name: count for name, count in voices.items() if count > 0}


def speak(utterances: list[PlannedUtterance], *, assets: Path, folder: Path, name: str) -> AudioFacts:
    """Synthesise `utterances` into shards ``<name>-<NNNNNN>.tar`` under `folder`; returns facts of all shards.

    A shard with a receipt, ``<name>-<NNNNNN>.json``, is finished and skipped. Raises FileNotFoundError if the package
    of a voice was not fetched.
    """
    batches = [utterances[i : i + UTTERANCES_PER_SHARD] for i in range(0, len(utterances), UTTERANCES_PER_SHARD)]
    for voice in {utterance.voice for utterance in utterances}:
        require_voice(voice, assets)
    receipts = [folder / f"{name}-{number:06d}.json" for number in range(len(batches))]
    shards = []
    with ExitStack() as stack:
        finished = sum(len(batch) for number, batch in enumerate(batches) if receipts[number].is_file())
        about = f"speak_corpus {name}"
        bar = stack.enter_context(Progress(about, unit="utterances", total=len(utterances), done=finished))
        pool = stack.enter_context(_pool())
        for number, batch in enumerate(batches):
            receipt = receipts[number]
            if not receipt.is_file():
                said = _said(pool, batch, assets, bar)
                write_atomic(receipt, to_json(write_audio_shard(receipt.with_suffix(".tar"), said).to_json()))
            shards.append(AudioShardFacts.from_json(json.loads(receipt.read_text())))
    for shard in shards:
        (folder / shard.name).with_suffix(".json").unlink()
    return audio_facts(shards)


def _copy_recordings(config: SpeakCorpusConfig, folder: Path) -> AudioFacts:
    recordings = read_recordings(config.assets, min_seconds=config.min_seconds, max_seconds=config.max_seconds)
    records = follow(recordings, "speak_corpus human", unit="recordings")
    facts = write_audio_shards(folder, records, name="human")
    if not facts.utterances:
        logger.warning("%s holds no human recordings: Debian's pocketsphinx-testdata was not fetched", config.assets)
    return facts


def _pool() -> ProcessPoolExecutor:
    # forkserver: a plain fork may hang if the process already runs threads (progress, onnxruntime).
    context = multiprocessing.get_context("forkserver")
    silent = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C, the parent ends its workers
    return ProcessPoolExecutor(max_workers=len(os.sched_getaffinity(0)), mp_context=context, initializer=silent)


def _said(
    pool: ProcessPoolExecutor, batch: list[PlannedUtterance], assets: Path, bar: Progress
) -> Iterator[AudioRecord]:
    waveforms = pool.map(partial(_speak_one, assets), batch, chunksize=8)
    for utterance, waveform in zip(batch, waveforms, strict=True):
        bar.add()
        yield AudioRecord(key=utterance.key, waveform=waveform, text=utterance.text, meta=utterance.meta)


def _speak_one(assets: Path, utterance: PlannedUtterance) -> np.ndarray:
    """Waveform of one utterance, float32 [N] at 16 kHz; runs in a worker process."""
    return _voice(utterance.voice, assets).speak(utterance.text, speed=utterance.speed, seed=utterance.seed)


@cache
def _voice(name: str, assets: Path) -> Voice:
    """The voice `name`, which stays open for the life of the worker."""
    return open_voice(name, assets)
