"""Encodes one recording: an audio file to codes, with the codes that `tokenize_speech` gives for it."""

from __future__ import annotations

from megatron_speech.artifacts.facts.codes import SpeechCodes
from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.manifest import require_place
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.audio.io import read_speech
from megatron_speech.config.stages.tokenize_speech import EncodeConfig
from megatron_speech.progress import Progress


def encode(config: EncodeConfig) -> SpeechCodes:
    """Encode `config.audio`, and write the codes to `config.output` if it is set.

    Raises FileNotFoundError or ValueError, before libraries and the tokenizer are loaded, if the file is no speech, or
    if the output would replace an input.
    """
    if config.output is not None:
        require_place(config.output, [config.audio, config.tokenizer])
    waveform = read_speech(config.audio)
    with Progress(f"encode {config.audio}", late=True):
        from megatron_speech.speech_tokenizer.corpus.windows import encode_recording
        from megatron_speech.speech_tokenizer.table import load_speech_tokenizer

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
