"""Raw samples through the tool: a line per block, a summary, and clean ends."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from megatron_speech.audio.io import write_audio
from megatron_speech.config.stages.stream_speech import StreamSpeechConfig
from megatron_speech.speech_tokenizer import live
from megatron_speech.speech_tokenizer.blockwise import BlockEncoder
from megatron_speech.speech_tokenizer.live import stream_speech
from megatron_speech.speech_tokenizer.model import save_model
from megatron_speech.speech_tokenizer.whisper_vq import WhisperVQTokenizer
from tests.unit.speech_tokenizer.toys import narrowed_config, noise, placed_model

SAMPLES = np.round(noise(20_000, 1) * 32767).astype("<i2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tokenizer")
    config = narrowed_config(quantize_causal_block_size=20, log_mel_floor="block", quantize_encoder_only=True)
    save_model(placed_model(config, noise(20_000, 1)), made, text_from=made)
    return made


def lines_of(config: StreamSpeechConfig, pipe: Any) -> list[dict[str, Any]]:
    lines: list[str] = []
    stream_speech(config, pipe, lines.append)
    return [json.loads(line) for line in lines]


def codes_of(lines: list[dict[str, Any]]) -> list[int]:
    return [code for line in lines for code in line.get("codes", [])]


def test_a_pipe_gives_a_line_per_block_and_a_summary(folder: Path) -> None:
    *blocks, summary = lines_of(StreamSpeechConfig(tokenizer=folder), io.BytesIO(SAMPLES.tobytes()))
    assert [line["start"] for line in blocks] == pytest.approx([0, 0.4, 0.8, 1.2])
    expected = WhisperVQTokenizer.load(folder).encode([SAMPLES.astype(np.float32) / 32768])[0].tolist()
    assert codes_of(blocks) == expected and len(set(expected)) > 2
    assert summary["seconds"] == 1.25 and summary["tokens"] == 16 and summary["real_time_factor"] > 0


@pytest.mark.parametrize("chunk_seconds", [0.0005, 0.033, 60.0])
def test_a_file_gives_the_same_lines_whatever_the_chunks(folder: Path, tmp_path: Path, chunk_seconds: float) -> None:
    path = tmp_path / "speech.flac"
    write_audio(path, SAMPLES[:7000].astype(np.float32) / 32768)
    lines = lines_of(StreamSpeechConfig(tokenizer=folder, audio=path, chunk_seconds=chunk_seconds), None)
    once = lines_of(StreamSpeechConfig(tokenizer=folder, audio=path), None)
    assert lines[:-1] == once[:-1] and [len(line["codes"]) for line in once[:-1]] == [5, 1]


@pytest.mark.parametrize(
    ("channels", "sides"), [("first", (0, 1)), ("first", (1, -1)), ("loudest", (0.2, 1)), ("mix", (1, 1))]
)
def test_of_a_file_of_two_channels_the_one_asked_for_is_heard(
    folder: Path, tmp_path: Path, channels: Any, sides: tuple[float, float]
) -> None:
    """Where nothing is said the first, or the one that speaks."""
    mono = SAMPLES[:7000].astype(np.float32) / 32768
    soundfile.write(tmp_path / "mono.wav", mono, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "two.wav", np.outer(mono, sides), 16000, subtype="FLOAT")
    found, expected = (
        codes_of(lines_of(StreamSpeechConfig(tokenizer=folder, audio=tmp_path / name, channels=channels), None))
        for name in ("two.wav", "mono.wav")
    )
    assert found == expected and len(found) == 6


def test_a_file_that_is_cut_short_is_refused_before_any_line(folder: Path, tmp_path: Path) -> None:
    write_audio(tmp_path / "cut.wav", SAMPLES[:7000].astype(np.float32) / 32768)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:-2])
    lines: list[str] = []
    with pytest.raises(ValueError, match=r"cut\.wav: cut short, 13998 of 14000 bytes"):
        stream_speech(StreamSpeechConfig(tokenizer=folder, audio=tmp_path / "cut.wav"), io.BytesIO(), lines.append)
    assert not lines


def test_the_last_block_counts_in_the_real_time_factor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that only a block moves, by a second: 1.25 s of speech in four blocks."""
    now, step = 0.0, BlockEncoder.step

    def slow(self: BlockEncoder, *args: Any, **kwargs: Any) -> Any:
        nonlocal now
        now += 1
        return step(self, *args, **kwargs)

    monkeypatch.setattr(BlockEncoder, "step", slow)
    monkeypatch.setattr(live.time, "perf_counter", lambda: now)
    *blocks, summary = lines_of(StreamSpeechConfig(tokenizer=folder), io.BytesIO(SAMPLES.tobytes()))
    assert len(blocks) == 4 and summary["real_time_factor"] == 4 / 1.25


class Interrupted(io.BytesIO):
    """A pipe whose reader is interrupted where the data end."""

    def read1(self, size: int | None = -1, /) -> bytes:
        data = super().read1(size)
        if not data:
            signal.raise_signal(signal.SIGINT)
        return data


def test_an_interrupt_leaves_the_codes_so_far(folder: Path) -> None:
    config = StreamSpeechConfig(tokenizer=folder)
    interrupted, ended = (lines_of(config, pipe(SAMPLES.tobytes())) for pipe in (Interrupted, io.BytesIO))
    assert codes_of(interrupted) == codes_of(ended) and interrupted[-1]["tokens"] == 16


def test_an_interrupt_waits_for_the_block_at_work(folder: Path) -> None:
    lines: list[str] = []

    def write(line: str) -> None:
        lines.append(line)
        if len(lines) == 1:
            signal.raise_signal(signal.SIGINT)

    stream_speech(StreamSpeechConfig(tokenizer=folder), io.BytesIO(SAMPLES.tobytes()), write)
    assert len(json.loads(lines[0])["codes"]) == 5
    assert 0.4 < json.loads(lines[-1])["seconds"] < 0.6


def file_of(kind: str) -> bytes:
    """The samples as a file of a kind."""
    buffer = io.BytesIO()
    soundfile.write(buffer, SAMPLES, 16000, format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize(("kind", "name"), [("WAV", "WAV"), ("FLAC", "FLAC"), ("AIFF", "AIFF"), ("MP3", "MP3")])
def test_a_file_is_no_raw_speech(folder: Path, kind: str, name: str, size: int) -> None:
    pipe = io.BytesIO(file_of(kind))
    lines: list[str] = []
    config = StreamSpeechConfig(tokenizer=folder, chunk_seconds=size / 32000)
    with pytest.raises(ValueError, match=rf"begins as {name} files do, .*; use arecord -t raw, or ffmpeg"):
        stream_speech(config, pipe, lines.append)
    assert json.loads(lines[-1])["tokens"] == 0


@pytest.mark.parametrize("head", [b"\xff\xfb\x90\x00", b"\xff\xff", b"I"])
def test_samples_that_begin_somewhat_like_a_file_are_samples(folder: Path, head: bytes) -> None:
    data = head + SAMPLES.tobytes()[len(head) :]
    for pipe, seconds in ((io.BytesIO(data), 1.25), (io.BytesIO(data[:10]), 0.0003)):
        assert lines_of(StreamSpeechConfig(tokenizer=folder), pipe)[-1]["seconds"] == seconds


def test_half_a_sample_is_named_after_what_was_heard(folder: Path) -> None:
    lines: list[str] = []
    with pytest.raises(ValueError, match=r"ends within a sample, at byte 40001; send 16-bit"):
        stream_speech(StreamSpeechConfig(tokenizer=folder), io.BytesIO(SAMPLES.tobytes() + b"x"), lines.append)
    assert json.loads(lines[-1])["tokens"] == 16


def test_nothing_is_written_for_a_reader_that_left(folder: Path) -> None:
    lines: list[str] = []

    def write(line: str) -> None:
        lines.append(line)
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        stream_speech(StreamSpeechConfig(tokenizer=folder), io.BytesIO(SAMPLES.tobytes()), write)
    assert len(lines) == 1
