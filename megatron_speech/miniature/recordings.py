"""Reads human speech with transcripts, for held-out checks: telephone prompts and ten test recordings.

The package asterisk-core-sounds-en has one speaker in 16 kHz G.722, and a text file with lines ``name: words``. The
package pocketsphinx-testdata has five sentences of a LibriVox book and five about playing cards. The recordings show
whether models trained on synthetic voices work for people; there are too few for training.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from megatron_speech.audio.checks import checked_waveform
from megatron_speech.audio.io import SAMPLE_RATE, read_audio
from megatron_speech.audio.shards import AudioRecord
from megatron_speech.miniature.fetch import DEBIAN
from megatron_speech.miniature.text import clean_text

SHARE = Path("usr") / "share"
PACKAGES_READ = ("pocketsphinx-testdata", "asterisk-core-sounds-en-g722", "asterisk-core-sounds-en")


def read_recordings(assets: Path, *, min_seconds: float, max_seconds: float) -> Iterator[AudioRecord]:
    """Every recording of `min_seconds` to `max_seconds` with a transcript; none if no package was fetched."""
    root = assets / DEBIAN / SHARE
    for speaker, name, text, waveform in (*_prompts(root), *_test_recordings(root)):
        if not min_seconds <= len(waveform) / SAMPLE_RATE <= max_seconds:
            continue
        key = f"human-{speaker}-{re.sub(r'[^A-Za-z0-9_-]', '-', name)}"
        meta = {"voice": speaker, "source": "human", "split": "heldout"}
        yield AudioRecord(key=key, waveform=waveform, text=text, meta=meta)


def decode_g722(path: Path) -> np.ndarray:
    """Waveform of a raw G.722 file, mono float32 [N] at 16 kHz.

    Raises ValueError without PyAV, or if the file cannot be decoded.
    """
    try:
        import av
    except ImportError as error:
        raise ValueError("reading G.722 recordings needs PyAV: pip install av") from error
    try:
        with av.open(str(path), format="g722") as container:
            blocks = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    except av.FFmpegError as error:
        raise ValueError(f"{path}: not readable as G.722 ({error})") from error
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.int16)
    return checked_waveform(samples.astype(np.float32) / 32768.0, name=str(path))


def parse_prompts(text: str) -> dict[str, str]:
    """Transcripts by name, from lines ``name: words``; comments, and sounds or silence in brackets, are left out."""
    prompts = {}
    for line in text.splitlines():
        name, separator, words = line.partition(":")
        words = clean_text(words)
        is_no_words = set("[]<>") & set(words) or words.startswith("(")
        if separator and words and not line.startswith(";") and not is_no_words:
            prompts[name.strip()] = words
    return prompts


def parse_transcription(text: str) -> dict[str, str]:
    """Transcripts by name, from lines ``<s> words </s> (name)``."""
    found = re.findall(r"<s>\s*(.*?)\s*</s>\s*\(([^()]+)\)", text)
    return {name: " ".join(words.split()) for words, name in found}


def _prompts(root: Path) -> Iterator[tuple[str, str, str, np.ndarray]]:
    table = root / "doc" / "asterisk-core-sounds-en" / "core-sounds-en.txt.gz"
    folder = root / "asterisk" / "sounds" / "en_US_f_Allison"
    if table.is_file() and folder.is_dir():
        with gzip.open(table, "rt", encoding="utf-8", errors="replace") as file:
            prompts = parse_prompts(file.read())
        for name, text in prompts.items():
            path = folder / f"{name}.g722"
            if path.is_file():
                yield "allison", name, text, decode_g722(path)


def _test_recordings(root: Path) -> Iterator[tuple[str, str, str, np.ndarray]]:
    data = root / "pocketsphinx" / "test" / "data"
    for speaker, table in (("librivox", "transcription"), ("cards", "cards.transcription")):
        path = data / speaker / table
        if path.is_file():
            for name, text in parse_transcription(path.read_text()).items():
                yield speaker, name, text, read_audio(data / speaker / f"{name}.wav")
