"""Encodes one recording: an audio file to codes, with the codes that `tokenize_speech` gives for it."""

from __future__ import annotations

import numpy as np

from megatron_speech.artifacts.facts.codes import SpeechCodes
from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.manifest import require_place
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.audio.io import read_speech
from megatron_speech.config.stages.tokenize_speech import EncodeConfig, TokenizeSpeechConfig
from megatron_speech.progress import Progress
from megatron_speech.speech_tokenizer.corpus.windows import encode_cut, windows_of
from megatron_speech.speech_tokenizer.interface import SpeechTokenizer
from megatron_speech.speech_tokenizer.table import load_speech_tokenizer


def encode(config: EncodeConfig) -> SpeechCodes:
    """Encode `config.audio`, and write the codes to `config.output` if it is set.

    Raises FileNotFoundError or ValueError, before the tokenizer is loaded, if the file is no speech,
    or if the output would replace an input.
    """
    if config.output is not None:
        require_place(config.output, [config.audio, config.tokenizer])
    waveform = read_speech(config.audio)
    with Progress(f"encode {config.audio}", late=True):
        tokenizer = load_speech_tokenizer(config.tokenizer)
        codes = encode_recording(tokenizer, waveform, name=str(config.audio))
    facts = tokenizer.facts
    made = SpeechCodes(
        codes=tuple(codes.tolist()),
        frame_rate=facts.frame_rate,
        codebook_size=facts.codebook_size,
        speech_fingerprint=facts.fingerprint,
    )
    if config.output is not None:
        write_atomic(config.output, to_json(made.to_json()) + "\n")
    return made


def encode_recording(tokenizer: SpeechTokenizer, waveform: np.ndarray, *, name: str) -> np.ndarray:
    """Codes int32 [T] of a waveform [samples] at the tokenizer's rate; long ones are cut as `tokenize_speech` does."""
    overlap_s = 0.0 if tokenizer.facts.causal else TokenizeSpeechConfig.overlap_seconds
    cut = windows_of(tokenizer.facts, len(waveform), overlap_seconds=overlap_s)
    (codes,) = encode_cut(tokenizer, [waveform], [cut], names=[name], batch_seconds=TokenizeSpeechConfig.batch_seconds)
    return codes
