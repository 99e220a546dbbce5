"""Disturbs held-out speech, and measures which codes change and which words are lost.

A disturbance keeps the length of a clip, so codes before and after can be compared by position. The share of changed
positions shows how much a language model would notice. The edit distance shows how much of that is only a shift. The
words read back show whether it matters. The level of noise holds over the whole clip, pauses included. Noise depends
only on the seed and the index of the clip. Limitation: no rooms, microphones or codecs are simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from megatron_speech.artifacts.facts.tokenizer_report import DisturbanceFacts
from megatron_speech.audio.io import SAMPLE_RATE, resample
from megatron_speech.audio.shards import AudioRecord
from megatron_speech.config.reports.tokenizer_report import RobustnessConfig
from megatron_speech.metrics.bootstrap import Bootstrap, Estimate
from megatron_speech.metrics.word_errors import UtteranceEdits, sequence_edits, utterance_edits
from megatron_speech.progress import follow
from megatron_speech.randomness import philox
from megatron_speech.speech_tokenizer.interface import CodeRecognizer, SpeechTokenizer


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """A disturbance of every clip of a data set."""

    kind: str
    """"gain", "white noise", "babble" or "resampling"."""
    level: float
    """Gain or signal-to-noise ratio in dB, or sample rate in Hz."""
    apply: Callable[[int], np.ndarray]
    """Returns the disturbed clip of an index, float32 [N], as long as the original."""

    @property
    def name(self) -> str:
        """Kind and level in words, for reports."""
        if self.kind == "resampling":
            return f"through {self.level / 1000:g} kHz"
        return f"gain {self.level:+g} dB" if self.kind == "gain" else f"{self.kind}, {self.level:g} dB"


def disturbances(records: Sequence[AudioRecord], config: RobustnessConfig) -> list[Disturbance]:
    """The disturbances that `config` asks for.

    Raises ValueError if noise is asked for but a clip is silent, or is the only one, so that no babble can be made.
    """
    if config.snrs_db and len(records) < 2:
        raise ValueError(
            f"babble is made of other clips, but there is only {records[0].key}; add utterances, raise "
            "robustness.max_utterances, or set robustness.snrs_db=[]"
        )
    if config.snrs_db and (silent := [record.key for record in records if not record.waveform.any()]):
        raise ValueError(
            f"utterance {silent[0]} is silent: it has no signal-to-noise ratio; leave it out, or set "
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
    """Amplifies a clip by `gain_db` and clips it to [-1, 1], as a converter would."""
    if gain_db == 0:
        return waveform_N
    return np.clip(waveform_N * np.float32(10 ** (gain_db / 20)), -1.0, 1.0)


def mix(waveform_N: np.ndarray, noise_N: np.ndarray, *, snr_db: float, name: str) -> np.ndarray:
    """Adds noise to a clip, `snr_db` below its mean power, without clipping.

    Raises ValueError that names a silent clip, or one with silent noise.
    """
    speech_power, noise_power = (float(np.mean(np.square(x, dtype=np.float64))) for x in (waveform_N, noise_N))
    if not speech_power or not noise_power:
        raise ValueError(f"{name}: the clip or its babble is silent; leave it out, or raise robustness.babble_clips")
    scale = np.sqrt(speech_power / noise_power / 10 ** (snr_db / 10))
    return waveform_N + noise_N * np.float32(scale)


def babble(records: Sequence[AudioRecord], index: int, *, clips: int, seed: int) -> np.ndarray:
    """Mixes up to `clips` other clips into noise as long as clip `index`, float32 [N].

    The clips are equally loud; each starts at a random sample and is repeated as needed.
    """
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
    """Resamples a clip to `rate` and back, at its own length."""
    back = resample(resample(waveform_N, SAMPLE_RATE, rate), rate, SAMPLE_RATE)[: len(waveform_N)]
    return np.pad(back, (0, len(waveform_N) - len(back)))


def robustness(
    tokenizer: SpeechTokenizer,
    recognizer: CodeRecognizer,
    records: Sequence[AudioRecord],
    config: RobustnessConfig,
    bootstrap: Bootstrap,
) -> tuple[DisturbanceFacts, ...]:
    """Measures words read wrong from the codes, and changed codes: of untouched clips first, then per disturbance.

    Shares are relative to the codes of the untouched clips. `wer_change` is a paired difference over utterances;
    `_low` and `_high` bound 95 % intervals over utterances. Raises ValueError like `disturbances`.
    """
    # Encode and recognise the untouched clips, which every disturbance is compared with.
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

    # The same for every disturbance.
    rows = [compare("untouched", "none", None, untouched, before)]
    for disturbance in follow(asked, "tokenizer_report: robustness", unit="disturbances"):
        clips = [disturbance.apply(index) for index in range(len(records))]
        codes = tokenizer.encode(clips, names=names)
        edits = utterance_edits(said, recognizer.recognize(codes))
        rows.append(compare(disturbance.name, disturbance.kind, disturbance.level, codes, edits))
    return tuple(rows)


def with_interval(name: str, estimate: Estimate) -> dict[str, float]:
    """An estimate as facts: {name, name_low, name_high}, to six decimals."""
    values = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {key: round(value, 6) for key, value in values.items()}
