"""Made-up recordings in every container that soundfile writes, and tables of them."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from megatron_speech.audio.importing import import_speech
from megatron_speech.config.stages.import_speech import ImportSpeechConfig

FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "NIST", "FLAC", "OGG", "MP3")


UNSUPPORTED = {("AIFF", "DWVW_12")}  # which soundfile writes and cannot open again


def speech(frames: int = 12_000, channels: int = 1) -> np.ndarray:
    noise = np.random.default_rng(frames).standard_normal((frames, channels))
    return (0.2 * noise * np.hanning(frames)[:, None]).astype(np.float32)


@cache
def written(kind: str, subtype: str, rate: int = 16000, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, speech(channels=channels), rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def kinds() -> list[tuple[str, str]]:
    """What soundfile writes of the containers that say where they end."""
    found = []
    for kind in FORMATS:
        for subtype in soundfile.available_subtypes(kind):
            try:
                written(kind, subtype)
            except soundfile.LibsndfileError:
                continue
            found.append((kind, subtype))
    return [pair for pair in found if pair not in UNSUPPORTED]


def unknown_length(flac: bytes) -> bytes:
    """The file as an encoder leaves it that cannot go back: no number of samples, no checksum of all."""
    data = bytearray(flac)
    data[21] &= 0xF0
    data[22:42] = bytes(20)
    return bytes(data)


def tone(hertz: float, rate: int = 16000, seconds: float = 0.3) -> np.ndarray:
    return 0.4 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def recordings(folder: Path, count: int = 5) -> list[dict[str, Any]]:
    """Files of several kinds, and a row for each."""
    folder.mkdir()
    rows = []
    for number in range(count):
        name = f"r{number}.{('wav', 'flac', 'ogg')[number % 3]}"
        soundfile.write(folder / name, tone(200 + 40 * number), 16000)
        rows.append({"audio": name, "text": f"text {number}", "id": f"r{number}", "speaker": "s"})
    return rows


def table(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "table.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(tmp_path: Path, output: str = "audio", **changes: Any) -> Path:
    if "tars" not in changes:
        changes.setdefault("table", tmp_path / "in" / "table.jsonl")
    import_speech(ImportSpeechConfig(output=tmp_path / output, **{"utterances_per_shard": 2, **changes}))
    return tmp_path / output
