"""Small corpora of speech to encode, and the settings for them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from megatron_speech.audio.shards import AudioRecord
from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.config.stages.tokenize_speech import TokenizeSpeechConfig
from tests.toys import write_audio
from tests.unit.speech_tokenizer.toys import noise

SECOND = 16000


def clip(key: str, seconds: float = 0.5, *, seed: int = 0, text: str = "text", **meta: Any) -> AudioRecord:
    return AudioRecord(key=key, waveform=noise(int(seconds * SECOND), seed), text=text, meta=meta)


def corpus(folder: Path, *, clips: int = 14, per_shard: int = 2) -> Path:
    """Clips of 0.3 s to 2.5 windows."""
    lengths = [0.3 + 9.7 * (number * 5 % clips) / clips for number in range(clips)]
    records = [clip(f"c{number}", length, seed=number, voice="v") for number, length in enumerate(lengths)]
    return write_audio(folder, records, per_shard=per_shard)


def config_of(tmp_path: Path, output: str = "codes", run: dict[str, Any] | None = None, **changes: Any):
    return TokenizeSpeechConfig(
        tokenizer=tmp_path / "tokenizer",
        audio=changes.pop("audio", tmp_path / "audio"),
        output=tmp_path / output,
        run=SpreadConfig(**(run or {})),
        overlap_seconds=changes.pop("overlap_seconds", 0.5),
        **changes,
    )


def digest(folder: Path) -> dict[str, str]:
    """Every file of a folder but its manifest, which names paths."""
    files = sorted(path for path in folder.iterdir() if path.name != "manifest.json")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
