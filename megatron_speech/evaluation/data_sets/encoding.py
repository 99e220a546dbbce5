"""Speech codes of the recordings in a data set, cached by the recordings' content."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import xxhash

from megatron_speech.audio.checks import AudioError
from megatron_speech.audio.io import decode_audio, to_rate
from megatron_speech.evaluation.data_sets.items import REASONS, EncodedRecording, Passage
from megatron_speech.speech_tokenizer.corpus.windows import encode_recording
from megatron_speech.speech_tokenizer.interface import SpeechTokenizer, SpeechTokenizerFacts
from megatron_speech.speech_tokenizer.table import load_speech_tokenizer, read_facts

CACHE = "evaluation_codes"
"""Folder for codes in the cache."""


@dataclass
class PassageEncoder:
    """Encodes passages with the speech tokenizer in `folder`; its weights are loaded when codes are not cached."""

    folder: Path
    cache: Path | None = None
    """Folder that keeps codes; None keeps none."""

    @cached_property
    def facts(self) -> SpeechTokenizerFacts:
        """Rates and fingerprint of the speech tokenizer."""
        return read_facts(self.folder)

    def codes(self, passage: Passage) -> tuple[np.ndarray | None, str | None]:
        """Codes int32 [T] of a passage, or None and the reason why it has none.

        Raises ValueError for codes of another speech tokenizer.
        """
        if passage.defect or passage.recording is None:
            return None, passage.defect or "missing"
        if isinstance(passage.recording, EncodedRecording):
            return self._read_before(passage.recording), None
        data = passage.recording if isinstance(passage.recording, bytes) else passage.recording.read_bytes()
        place = self._place(data)
        if place is not None and place.is_file():
            return np.load(place), None
        try:
            codes = self._encode(data)
        except AudioError as error:
            return None, REASONS.get(error.reason, error.reason)
        if place is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            # Jobs may share the cache, and encode one recording at the same time.
            temporary = place.with_suffix(f".{secrets.token_hex(8)}.tmp.npy")
            np.save(temporary, codes)
            temporary.replace(place)
        return codes, None

    def _read_before(self, recording: EncodedRecording) -> np.ndarray:
        own, other = self.facts.fingerprint, recording.speech_tokenizer
        if other != own:
            raise ValueError(
                f"{recording.place}: codes of the speech tokenizer {other[:16]}, but {self.folder} is {own[:16]}; "
                "encode the audio again"
            )
        return recording.codes

    def _encode(self, data: bytes) -> np.ndarray:
        tokenizer = self._tokenizer
        rate = tokenizer.facts.sample_rate
        waveform, sample_rate = decode_audio(data, name="recording")
        return encode_recording(tokenizer, to_rate(waveform, sample_rate, rate), name="recording")

    def _place(self, data: bytes) -> Path | None:
        if self.cache is None:
            return None
        return self.cache / CACHE / self.facts.fingerprint[:16] / f"{xxhash.xxh3_128_hexdigest(data)}.npy"

    @cached_property
    def _tokenizer(self) -> SpeechTokenizer:
        return load_speech_tokenizer(self.folder)


def require_same_tokenizer(encoder: PassageEncoder, fingerprint: str, *, key: str) -> None:
    """Raise ValueError if the codes of `encoder` mean other sounds than the speech ids of a model."""
    if encoder.facts.fingerprint != fingerprint:
        raise ValueError(
            f"{key}={encoder.folder} has the fingerprint {encoder.facts.fingerprint[:16]}, the model's "
            f"speech tokenizer {fingerprint[:16]}; name the tokenizer that the model was trained with"
        )
