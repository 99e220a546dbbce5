"""Encodes raw samples from a pipe, or an audio file, and writes a JSON line of codes once a block is complete.

An interrupt (Ctrl-C) ends the stream: the samples received so far are encoded, and the summary is written. Limitation:
the pipe carries 16-bit mono samples at 16 kHz, because raw samples have no header.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import BinaryIO, Self

import numpy as np

from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.audio.containers import container, undecided
from megatron_speech.audio.io import SAMPLE_RATE, read_audio
from megatron_speech.config.stages.stream_speech import StreamSpeechConfig
from megatron_speech.speech_tokenizer.table import load_speech_tokenizer


def stream_speech(config: StreamSpeechConfig, pipe: BinaryIO, write: Callable[[str], None]) -> None:
    """Encode `config.audio`, or `pipe` if it is not set; calls `write` with one line per block, then a summary.

    Raises ValueError if `pipe` carries a file with a header, or ends within a sample.
    """
    tokenizer = load_speech_tokenizer(config.tokenizer)
    stream, facts = tokenizer.streaming(), tokenizer.facts
    size = max(1, int(config.chunk_seconds * SAMPLE_RATE))
    num_codes, busy_s = 0, 0.0

    # Write blocks, and count only the time that they take, not the wait for samples.
    def put(blocks: Iterator[np.ndarray]) -> None:
        nonlocal num_codes, busy_s
        start = time.perf_counter()
        for codes in blocks:
            busy_s += time.perf_counter() - start
            write(to_json({"start": num_codes * facts.samples_per_code / facts.sample_rate, "codes": codes.tolist()}))
            num_codes += len(codes)
            start = time.perf_counter()
        busy_s += time.perf_counter() - start

    # A mistake in the input is raised at the end: codes of the good samples are written first.
    damage: ValueError | None = None
    chunks = file_chunks(config, size) if config.audio else pipe_chunks(pipe, size)
    try:
        with Interrupts() as interrupts:
            for chunk in interrupts.end(chunks):
                put(stream.blocks(chunk))
    except ValueError as error:
        damage = error
    put(stream.end())
    seconds = stream.num_samples / SAMPLE_RATE
    factor = round(busy_s / seconds, 4) if seconds else None
    write(to_json({"seconds": round(seconds, 4), "tokens": num_codes, "real_time_factor": factor}))
    if damage is not None:
        raise damage


class Interrupts:
    """Makes Ctrl-C end the reading of chunks, without interrupting the computation of a block."""

    def __init__(self) -> None:
        self.asked = self.reading = False

    def __enter__(self) -> Self:
        self.previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGINT, self.previous)

    def end(self, chunks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield `chunks` until an interrupt."""
        while not self.asked:
            try:
                self.reading = True
                chunk = next(chunks, None)
            except KeyboardInterrupt:
                return
            finally:
                self.reading = False
            if chunk is None:
                return
            yield chunk

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if self.reading:
            raise KeyboardInterrupt


def file_chunks(config: StreamSpeechConfig, size: int) -> Iterator[np.ndarray]:
    """Cut the audio file into chunks of `size` samples; reads it whole, so a bad file is refused before any output."""
    assert config.audio is not None
    waveform = read_audio(config.audio, channels=config.channels)
    return (waveform[start : start + size] for start in range(0, len(waveform), size))


def pipe_chunks(pipe: BinaryIO, size: int) -> Iterator[np.ndarray]:
    """Yield raw 16-bit samples as float32 in -1 .. 1, as they arrive, about `size` at a time."""
    kept, num_read, begun = b"", 0, False
    while data := pipe.read1(2 * size) if hasattr(pipe, "read1") else pipe.read(2 * size):
        # Keep the beginning until it shows whether it is raw samples or a file.
        num_read += len(data)
        kept += data
        if not begun and undecided(kept):
            continue
        if not begun:
            _require_raw(kept)
            begun = True
        # Pass whole samples on, keep a half one.
        yield _samples(kept)
        kept = kept[len(kept) // 2 * 2 :]
    if not begun:
        _require_raw(kept)
        yield _samples(kept)
    if num_read % 2:
        raise ValueError(
            f"standard input: ends within a sample, at byte {num_read}; send 16-bit samples (the codes above are those "
            "of the whole samples)"
        )


def _samples(data: bytes) -> np.ndarray:
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / 32768


def _require_raw(head: bytes) -> None:
    if name := container(head):
        raise ValueError(
            f"standard input: begins as {name} files do, not with raw samples; use arecord -t raw, or "
            "ffmpeg -i FILE -f s16le -ac 1 -ar 16000 -, or give the file as audio="
        )
