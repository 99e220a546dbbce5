"""Decodes the codes of one recording to a sound file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from megatron_speech.artifacts.facts.codes import SpeechCodes
from megatron_speech.artifacts.files import read_json
from megatron_speech.artifacts.manifest import require_place
from megatron_speech.audio.io import write_audio
from megatron_speech.config.stages.causal_decoder import SpeakingConfig
from megatron_speech.config.stages.speech_decoder import DecodeConfig
from megatron_speech.progress import Progress
from megatron_speech.speech_decoder.interface import PLAIN, SpeechDecoder


def decode(config: DecodeConfig) -> float:
    """Decode `config.codes` to `config.output`; returns the seconds of sound.

    Raises FileNotFoundError for a missing file, ValueError for codes of another speech tokenizer than the decoder's, or
    if the output would replace an input.
    """
    require_place(config.output, [config.codes, config.decoder, config.vocoder])
    codes = read_codes(config.codes)
    with Progress(f"decode {config.codes}", late=True):
        from megatron_speech.speech_decoder.table import load_speech_decoder  # takes seconds, and a mistake above none

        decoder = load_speech_decoder(config.decoder, config.vocoder)
        require_tokenizer(decoder, codes.speech_fingerprint, holder=str(config.codes))
        return decode_to_file(decoder, np.array(codes.codes, np.int32), config.output, config.speaking)


def decode_to_file(decoder: SpeechDecoder, codes: np.ndarray, path: Path, speaking: SpeakingConfig = PLAIN) -> float:
    """Write the sound of codes int [N] to `path`, and return its seconds. Raises as `SpeechDecoder.decode`."""
    waveform, rate = decoder.decode(codes.astype(np.int32), speaking), decoder.facts.sample_rate
    write_audio(path, waveform, sample_rate=rate)
    return len(waveform) / rate


def require_tokenizer(decoder: SpeechDecoder, fingerprint: str, *, holder: str) -> None:
    """Raise ValueError unless codes of `holder` come from the speech tokenizer that `decoder` was trained with."""
    learnt = decoder.facts.speech_fingerprint
    if fingerprint != learnt:
        raise ValueError(
            f"{holder}: made by speech tokenizer {fingerprint[:12]}, but the speech decoder was trained with "
            f"{learnt[:12]}; encode the audio or train the decoder again"
        )


def read_codes(path: Path) -> SpeechCodes:
    """Read a file of `encode`. Raises FileNotFoundError if it is missing, ValueError if it is no such file."""
    if not path.is_file():
        raise FileNotFoundError(f"codes={path}: no such file; make it by megatron-speech encode")
    try:
        return SpeechCodes.from_json(read_json(path))
    except ValueError as error:
        raise ValueError(f"codes={path}: not a file of encode ({error}); make it by megatron-speech encode") from error
