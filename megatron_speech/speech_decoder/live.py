"""Reads lines of codes from a pipe, and writes raw samples as soon as the codes before them have come.

A line is a code, a JSON list of codes, or a JSON object with `codes`: a line of `stream_speech`, or the file of
`encode`. Other objects, such as the summary of `stream_speech`, change nothing. An empty line ends an utterance. A bad
line is left out, and the stream goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.config.inspection.stream_decode import StreamDecodeConfig
from megatron_speech.speech_decoder.interface import SpeechDecoder, SpeechStream
from megatron_speech.speech_decoder.one_recording import require_tokenizer
from megatron_speech.speech_decoder.table import load_speech_decoder

HEARD_S = 0.08
"""Seconds of sound that count as the first: those of one token at 12.5 per second."""


def stream_decode(
    config: StreamDecodeConfig, pipe: BinaryIO, write: Callable[[bytes], object], note: Callable[[str], object]
) -> None:
    """Decode `pipe`; calls `write` with raw samples, `note` with lines about them, and with a summary at the end.

    Raises ValueError at the end if lines were left out, or at once for a decoder that needs whole utterances.
    """
    decoder = load_speech_decoder(config.decoder, config.vocoder)
    live = Live(decoder, config, write)
    rate = decoder.facts.sample_rate
    note(f"raw 16-bit samples, one channel, {rate} per second; to hear them: aplay -t raw -f S16_LE -r {rate}")
    bad: list[str] = []
    for number, line in enumerate(iter(pipe.readline, b""), start=1):
        try:
            live.take(line)
        except ValueError as error:
            bad.append(f"standard input, line {number}: {error}")
            note(f"left out: {bad[-1]}")
    live.end_utterance()
    note(to_json(live.summary()))
    if bad:
        raise ValueError(f"{bad[0]} (lines left out: {len(bad)})")


class Live:
    """One long stream of utterances, and what there is to say about it."""

    def __init__(self, decoder: SpeechDecoder, config: StreamDecodeConfig, write: Callable[[bytes], object]) -> None:
        self._decoder, self._config, self._write = decoder, config, write
        self._begin()
        self.tokens = self.samples = 0
        self.tokens_before_sound: int | None = None
        """Tokens that the first `HEARD_S` seconds of sound waited for."""
        self.busy_s = 0.0

    def take(self, line: bytes) -> None:
        """Continue by a line; ValueError if it holds no codes, which leaves the stream as it was."""
        if not line.strip():
            self.end_utterance()
            return
        codes = codes_of(line, self._decoder)
        self._put(lambda: self._stream.push(codes))
        self._utterance_tokens += len(codes)
        self.tokens += len(codes)
        if self.tokens_before_sound is None and self.samples >= HEARD_S * self._decoder.facts.sample_rate:
            self.tokens_before_sound = self.tokens

    def end_utterance(self) -> None:
        """Write what is left of an utterance, and begin another."""
        if self._utterance_tokens:
            self._put(self._stream.finish)
        self._begin()

    def summary(self) -> dict[str, Any]:
        """Seconds of sound, tokens, tokens before the first sound, and time at work per second of sound."""
        seconds = self.samples / self._decoder.facts.sample_rate
        return {
            "seconds": round(seconds, 4),
            "tokens": self.tokens,
            "tokens_before_sound": self.tokens_before_sound,
            "real_time_factor": round(self.busy_s / seconds, 4) if seconds else None,
        }

    def _begin(self) -> None:
        self._stream: SpeechStream = self._decoder.streaming(self._config.speaking)
        self._utterance_tokens = 0

    def _put(self, made: Callable[[], np.ndarray]) -> None:
        start = time.perf_counter()
        samples = made()
        self.busy_s += time.perf_counter() - start
        self.samples += len(samples)
        if len(samples):
            self._write(np.rint(samples.clip(-1, 1) * 32767).astype("<i2").tobytes())


def codes_of(line: bytes, decoder: SpeechDecoder) -> np.ndarray:
    """Codes int32 [N] of a line; ValueError for a line without codes, or of another speech tokenizer."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            "is neither a code nor JSON; send a code, a list of codes, or a line of stream_speech"
        ) from error
    if isinstance(value, dict):
        if fingerprint := value.get("speech_fingerprint"):
            require_tokenizer(decoder, str(fingerprint), holder="codes")
        value = value.get("codes", [])
    codes = value if isinstance(value, list) else [value]
    size = decoder.facts.codebook_size
    for code in codes:
        if type(code) is not int or not 0 <= code < size:
            raise ValueError(f"{str(code)[:40]!r} is no code; a code is a whole number in 0 .. {size - 1}")
    return np.array(codes, np.int32)
