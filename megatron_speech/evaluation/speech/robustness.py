"""Disturb held-out speech, and see which codes change and which words are lost.

Every disturbance keeps a clip's length, so the codes before and after lie side by side: the share of positions that
changed says how much a model downstream would notice, the edit distance how much of that is only a shift, the words
read back whether it matters. Noise has the level asked for over the whole clip, pauses included, and is a function of
the seed and the utterance's place. Price: additive noise and clean filters; no room, no microphone, no codec.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from megatron_speech.artifacts.facts.tokenizer_report import DisturbanceFacts
from megatron_speech.audio.io import SAMPLE_RATE, resample
from megatron_speech.audio.shards import AudioRecord
from megatron_speech.config.reports.tokenizer_report import RobustnessConfig
from megatron_speech.metrics.bootstrap import Bootstrap, Estimate
from megatron_speech.metrics.word_errors import UtteranceEdits, sequence_edits, utterance_edits
from megatron_speech.randomness import philox
from megatron_speech.speech_tokenizer.interface import CodeRecognizer, SpeechTokenizer


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """One thing done to every clip of a data set."""

    kind: str
    """"gain", "white noise", "babble" or "resampling"."""
    level: float
    """dB, or samples per second."""
    apply: Callable[[int], np.ndarray]
    """The clip of an index, disturbed: float32 [N] of the same length."""

    @property
    def name(self) -> str:
        """The disturbance and its level in words, as reports write it."""
        if self.kind == "resampling":
            return f"through {self.level / 1000:g} kHz"
        return f"gain {self.level:+g} dB" if self.kind == "gain" else f"{self.kind}, {self.level:g} dB"


def disturbances(records: Sequence[AudioRecord], config: RobustnessConfig) -> list[Disturbance]:
    """What `config` asks for; ValueError where noise is asked for and a clip is silent or has no others for babble."""
    if config.snrs_db and len(records) < 2:
        raise ValueError(
            f"babble is made of other clips, but there is only {records[0].key}; add utterances, raise "
            "robustness.max_utterances, or set robustness.snrs_db=[]"
        )
    if config.snrs_db and (silent := [record.key for record in records if not record.waveform.any()]):
        raise ValueError(
            f"utterance {silent[0]} is silent: no noise lies so many decibels below it; leave it out, or set "
            "robustness.snrs_db=[]"
        )

    def babbled(index: int) -> np.ndarray:
        return babble(records, index, clips=config.babble_clips, seed=config.seed)

    def resampled(rate: int) -> Callable[[int], np.ndarray]:
        return lambda index: through_rate(records[index].waveform, rate)

    def amplified(gain_db: float) -> Callable[[int], np.ndarray]:
        return lambda index: gain(records[index].waveform, gain_db)

    def noisy(noise: Callable[[int], np.ndarray], snr_db: float) -> Callable[[int], np.ndarray]:
        def mixed(index: int) -> np.ndarray:
            record = records[index]
            return mix(record.waveform, noise(index), snr_db=snr_db, name=record.name)

        return mixed

    def white(index: int) -> np.ndarray:
        return philox(config.seed, index).standard_normal(len(records[index].waveform), dtype=np.float32)

    return [
        *(Disturbance(kind="gain", level=db, apply=amplified(db)) for db in config.gains_db),
        *(Disturbance(kind="white noise", level=db, apply=noisy(white, db)) for db in config.snrs_db),
        *(Disturbance(kind="babble", level=db, apply=noisy(babbled, db)) for db in config.snrs_db),
        *(Disturbance(kind="resampling", level=rate, apply=resampled(rate)) for rate in config.rates),
    ]


def gain(waveform_N: np.ndarray, gain_db: float) -> np.ndarray:
    """The clip louder by `gain_db`, clipped to [-1, 1] as a converter would."""
    if gain_db == 0:
        return waveform_N
    return np.clip(waveform_N * np.float32(10 ** (gain_db / 20)), -1.0, 1.0)


def mix(waveform_N: np.ndarray, noise_N: np.ndarray, *, snr_db: float, name: str) -> np.ndarray:
    """The clip with noise `snr_db` below it in mean power; not clipped. ValueError names a clip that is silent."""
    speech_power, noise_power = (float(np.mean(np.square(x, dtype=np.float64))) for x in (waveform_N, noise_N))
    if not speech_power or not noise_power:
        raise ValueError(f"{name}: it, or the babble for it, is silent; leave it out, or raise robustness.babble_clips")
    scale = np.sqrt(speech_power / noise_power / 10 ** (snr_db / 10))
    return waveform_N + noise_N * np.float32(scale)


def babble(records: Sequence[AudioRecord], index: int, *, clips: int, seed: int) -> np.ndarray:
    """Up to `clips` of the other clips at once, equally loud, each from a random place and repeated to the length."""
    random = philox(seed, index)
    others = [place for place in range(len(records)) if place != index]
    length = len(records[index].waveform)
    total = np.zeros(length, dtype=np.float32)
    for place in random.choice(others, size=min(clips, len(others)), replace=False):
        voice = records[place].waveform
        loudness = float(np.sqrt(np.mean(np.square(voice, dtype=np.float64))))
        if loudness:
            total += np.resize(np.roll(voice, -int(random.integers(len(voice)))), length) / np.float32(loudness)
    return total


def through_rate(waveform_N: np.ndarray, rate: int) -> np.ndarray:
    """The clip at another sample rate and back, at its own length."""
    back = resample(resample(waveform_N, SAMPLE_RATE, rate), rate, SAMPLE_RATE)[: len(waveform_N)]
    return np.pad(back, (0, len(waveform_N) - len(back)))


def robustness(
    tokenizer: SpeechTokenizer,
    recognizer: CodeRecognizer,
    records: Sequence[AudioRecord],
    config: RobustnessConfig,
    bootstrap: Bootstrap,
) -> tuple[DisturbanceFacts, ...]:
    """The untouched clips and every disturbance: words read wrong from the codes, and codes that changed.

    Shares are of the untouched clips' codes; `wer_change` is taken utterance by utterance; `_low` and `_high` bound
    95 % intervals over utterances.
    """
    asked = disturbances(records := records[: config.max_utterances], config)
    names, said = [record.name for record in records], [record.text for record in records]
    untouched = tokenizer.encode([record.waveform for record in records], names=names)
    before = utterance_edits(said, recognizer.recognize(untouched))
    lengths = [len(codes) for codes in untouched]

    def compare(
        name: str, kind: str, level: float | None, codes: list[np.ndarray], edits: UtteranceEdits
    ) -> DisturbanceFacts:
        assert lengths == [len(row) for row in codes], "a disturbance keeps a clip's length"
        changed = [(old != new).sum() for old, new in zip(untouched, codes, strict=True)]
        rates: dict[str, Any] = {
            **with_interval("wer", bootstrap.ratio(edits.word_edits, edits.words)),
            **with_interval("wer_change", bootstrap.ratio(edits.word_edits - before.word_edits, edits.words)),
            **with_interval("codes_changed", bootstrap.ratio(changed, lengths)),
            **with_interval("code_edits", bootstrap.ratio(sequence_edits(untouched, codes), lengths)),
        }
        words = int(edits.words.sum())
        return DisturbanceFacts(name=name, kind=kind, level=level, **rates, utterances=len(records), words=words)

    rows = [compare("untouched", "none", None, untouched, before)]
    for disturbance in tqdm(asked, desc="robustness", unit="disturbance"):
        clips = [disturbance.apply(index) for index in range(len(records))]
        codes = tokenizer.encode(clips, names=names)
        edits = utterance_edits(said, recognizer.recognize(codes))
        rows.append(compare(disturbance.name, disturbance.kind, disturbance.level, codes, edits))
    return tuple(rows)


def with_interval(name: str, estimate: Estimate) -> dict[str, float]:
    """Facts of an estimate: {name, name_low, name_high}."""
    values = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {key: round(value, 6) for key, value in values.items()}
