"""A toy language for trainings of speech decoders: each code is a tone, in audio shards, code shards and a codebook."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from megatron_speech.artifacts.facts.speech_tokenizer import SpeechTokenizerIdentity
from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.audio.shards import AudioRecord
from megatron_speech.data.shards.document import TokenDocument
from tests.toys import write_audio, write_codes

CODES, SAMPLES_PER_TOKEN = 16, 1280


def tone(codes: np.ndarray) -> np.ndarray:
    """Speech whose every token is a tone of its own: what the network has to learn."""
    time_s = np.arange(len(codes) * SAMPLES_PER_TOKEN) / 16000
    return (0.3 * np.sin(2 * np.pi * (200 + 150 * codes.repeat(SAMPLES_PER_TOKEN)) * time_s)).astype(np.float32)


def write_language(folder: Path) -> None:
    """Make the folders audio, codes and tokenizer: 11 utterances of the voice hibari, and one of another."""
    rng = np.random.default_rng(0)
    codes = {f"u{i}": rng.integers(0, CODES, size=rng.integers(8, 16)).astype(np.int32) for i in range(12)}
    meta = {"u0": {"voice": "other", "speaker": "hibari"}, "u1": {"speaker": "hibari"}}
    records = [
        AudioRecord(key=key, waveform=tone(each), text="x", meta=meta.get(key, {"voice": "hibari"}))
        for key, each in codes.items()
    ]
    documents = [TokenDocument(key=key, tokens=each, meta={}) for key, each in codes.items()]
    write_audio(folder / "audio", records)
    write_codes(folder / "codes", documents, num_codes=CODES, fingerprint="toy")
    write_tokenizer(folder / "tokenizer", fingerprint="toy")


def write_tokenizer(folder: Path, *, fingerprint: str) -> None:
    """Make a folder of a speech tokenizer with nothing but its codebook."""
    with make_artifact(folder, kind="speech_tokenizer", config={}) as draft:
        draft.facts = SpeechTokenizerIdentity(fingerprint=fingerprint, codebook_size=CODES, frame_rate=12.5)
        save_file({"encoder.codebook.weight": torch.randn(CODES, 24)}, draft.folder / "model.safetensors")
