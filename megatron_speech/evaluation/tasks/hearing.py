"""Reads what a model said: by the recogniser of its speech tokenizer, by Whisper, and by DNSMOS for how it sounds.

The recogniser reads codes, so no speech decoder takes part. Whisper and DNSMOS hear the sound that a speech decoder
makes of the codes, and a speaker encoder compares its voice with a prompt's. The mistakes of all of them count against
the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from megatron_speech.artifacts.files import fingerprint_files
from megatron_speech.audio.checks import AudioError
from megatron_speech.audio.io import SAMPLE_RATE, decode_audio, resample, to_rate
from megatron_speech.evaluation.tasks.interface import Record, by_whisper
from megatron_speech.evaluation.tasks.settings import SoundSettings, SpeakingSettings
from megatron_speech.grouping import grouped
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.dnsmos import Dnsmos
from megatron_speech.metrics.speaker_similarity import SpeakerEncoder
from megatron_speech.progress import follow
from megatron_speech.speech_decoder.interface import SpeechDecoder
from megatron_speech.speech_decoder.one_recording import require_tokenizer
from megatron_speech.speech_decoder.table import load_speech_decoder
from megatron_speech.speech_tokenizer.table import load_recognizer, read_facts
from megatron_speech.speech_tokenizer.whisper import WhisperRecognizer
from megatron_speech.vocabulary import Vocabulary

DNSMOS, SIMILARITY = "dnsmos", "speaker_similarity"
"""Keys in records and results of an opinion, and of how a voice resembles that of its prompt."""
Voice = Path | bytes
"""Recording of a voice."""
AT_A_TIME = 32
"""Answers whose sound is in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class AnswerTexts:
    """Texts of one part of many answers: of what was written, or of what was said by one recogniser."""

    pair: str
    """Its name in records."""
    texts: Sequence[str]
    notes: Sequence[Record]
    """What else is known of each answer."""


def require_hearing(settings: SpeakingSettings, vocabulary: Vocabulary, **limits: int) -> None:
    """Raise ValueError or FileNotFoundError if what `settings` name cannot hear speech of this length.

    `limits` are the settings by name whose sum is the most codes of an answer.
    """
    folder, key = settings.speech_tokenizer, settings.key
    if folder is None:
        raise ValueError(f"{key}: generated speech is read by a recogniser; name {key}.speech_tokenizer")
    most, asked = sum(limits.values()), f"{key}.{' + '.join(limits)}={sum(limits.values())}"
    recognizer = load_recognizer(folder)
    if most > (longest := recognizer.max_codes):
        raise ValueError(f"{asked} exceeds the {longest} codes that the recogniser of {folder} reads; lower it")
    if recognizer.language not in (None, settings.language):
        raise ValueError(
            f"{key}.language={settings.language}: the recogniser of {folder} reads {recognizer.language}; change one"
        )
    if settings.sound is not None:
        judges = SoundJudges(settings.sound, settings.language)
        require_tokenizer(judges.decoder, vocabulary.speech_fingerprint, holder=f"{key}.speech_tokenizer={folder}")
        if most > judges.max_codes:
            raise ValueError(
                f"{asked} exceeds the {judges.max_codes} codes whose sound {settings.sound.whisper} hears; lower it"
            )


def recognizer_name(settings: SpeakingSettings) -> str:
    """All that reads speech, for a protocol."""
    assert settings.speech_tokenizer is not None, "`require_hearing` has required it"
    own = f"of the speech tokenizer {read_facts(settings.speech_tokenizer).fingerprint[:16]}"
    whisper = settings.sound.whisper if settings.sound else None
    return f"{own}; Whisper {_checksum(whisper)}" if whisper else own


def sound_name(sound: SoundSettings | None) -> str | None:
    """What makes sound and rates it, for a protocol."""
    if sound is None:
        return None
    rated = f", DNSMOS {_checksum(sound.dnsmos)}" if sound.dnsmos else ""
    rated += f", speaker encoder {_checksum(sound.speaker_encoder)}" if sound.speaker_encoder else ""
    return f"speech decoder {_checksum(sound.speech_decoder)}, vocoder {_checksum(sound.vocoder)}{rated}"


def _checksum(path: Path) -> str:
    """Of a file, or of the settings and weights in a folder."""
    weights = [path] if path.is_file() else [path / "config.json", *path.glob("*.safetensors")]
    return fingerprint_files(weights)[:16]


def read_speech(
    settings: SpeakingSettings, codes: Sequence[np.ndarray], *, pair: str, voices: Sequence[Voice | None] = ()
) -> Iterator[AnswerTexts]:
    """What each recogniser reads of spoken answers, from their codes int32 [T]; an answer without codes is empty.

    DNSMOS rates the answers that have sound: overall, from 1 to 5. With a speaker encoder, each is compared with its
    voice in `voices`, if it has one.
    """
    assert settings.speech_tokenizer is not None, "`require_hearing` has required it"
    texts = load_recognizer(settings.speech_tokenizer).recognize(codes) if codes else []
    by_sound = [Judged()] * len(codes)
    if settings.sound is not None and codes:
        by_sound = [*SoundJudges(settings.sound, settings.language).judge(codes, voices or [None] * len(codes))]
    rated = [{name: round(mark, 4) for name, mark in each.marks.items()} for each in by_sound]
    yield AnswerTexts(pair=pair, texts=[text.strip() for text in texts], notes=rated)
    if settings.sound and settings.sound.whisper:
        yield AnswerTexts(pair=by_whisper(pair), texts=[each.text for each in by_sound], notes=[{}] * len(codes))


def mean_marks(records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
    """The entries of opinions and of similarities, each over all records that have one; nothing without any."""
    marks = {name: [record[name] for record in records if name in record] for name in (DNSMOS, SIMILARITY)}
    return {name: bootstrap.mean(values).rounded().to_json() for name, values in marks.items() if values}


class Judged(NamedTuple):
    """What is said of the sound of an answer."""

    text: str = ""
    """What Whisper reads."""
    opinion: float | None = None
    """What DNSMOS says."""
    similarity: float | None = None
    """How the voice resembles that of the prompt."""

    @property
    def marks(self) -> dict[str, float]:
        """Opinion and similarity, as far as they are there."""
        both = {DNSMOS: self.opinion, SIMILARITY: self.similarity}
        return {name: mark for name, mark in both.items() if mark is not None}


class SoundJudges:
    """A speech decoder, with a Whisper model and DNSMOS as far as they are asked."""

    def __init__(self, sound: SoundSettings, language: str) -> None:
        self.decoder: SpeechDecoder = load_speech_decoder(sound.speech_decoder, sound.vocoder)
        self.whisper = None if sound.whisper is None else WhisperRecognizer.load(sound.whisper, language=language)
        self.dnsmos = None if sound.dnsmos is None else Dnsmos(sound.dnsmos)
        self.speaker_encoder = None if sound.speaker_encoder is None else SpeakerEncoder(sound.speaker_encoder)

    @property
    def max_codes(self) -> float:
        """Codes of the longest answer whose sound can be judged."""
        if self.whisper is None:
            return math.inf
        return int(self.whisper.max_samples / SAMPLE_RATE * self.decoder.facts.frame_rate)

    def judge(self, codes: Sequence[np.ndarray], voices: Sequence[Voice | None]) -> Iterator[Judged]:
        """Yield what is said of each answer and the voice that it should have; one without codes has no sound.

        An answer without sound resembles no voice: if it should, its similarity is 0.
        """
        asked = list(zip(codes, voices, strict=True))
        for group in grouped(follow(asked, "make and judge sound", unit="answers"), AT_A_TIME):
            sounds = {place: self._sound(each) for place, (each, _) in enumerate(group) if len(each)}
            read = self.whisper.transcribe([*sounds.values()]) if self.whisper else [""] * len(sounds)
            texts = dict(zip(sounds, read, strict=True))
            for place, (_, voice) in enumerate(group):
                rated = self.dnsmos.score(sounds[place]).overall if self.dnsmos and place in sounds else None
                yield Judged(texts.get(place, "").strip(), rated, self._similarity(sounds.get(place), voice))

    def _similarity(self, sound: np.ndarray | None, voice: Voice | None) -> float | None:
        """None where no voice is given, or its recording is damaged, or nobody compares."""
        if self.speaker_encoder is None or voice is None:
            return None
        try:
            wanted = to_rate(*decode_audio(voice, name="prompt"), SAMPLE_RATE)
        except AudioError:
            return None
        return 0.0 if sound is None else self.speaker_encoder.similarity(sound, wanted)

    def _sound(self, codes: np.ndarray) -> np.ndarray:
        """Waveform float32 [N] at 16 kHz."""
        return resample(self.decoder.decode(codes.astype(np.int32)), self.decoder.facts.sample_rate, SAMPLE_RATE)
