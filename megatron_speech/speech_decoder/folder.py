"""The folder of a speech decoder: config.json with what it is, model.safetensors with its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from megatron_speech.artifacts.files import read_json
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.speech_decoder.interface import SpeechDecoderFacts

CONFIG, WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class DecoderIdentity:
    """Speech tokenizer facts that a network was trained for; saved with its weights."""

    codebook_size: int
    """Number of codes K."""
    frame_rate: float
    """Tokens per second."""
    speech_fingerprint: str
    """Fingerprint of the speech tokenizer."""

    def facts(self, sample_rate: int) -> SpeechDecoderFacts:
        """Facts of a decoder for this tokenizer, whose vocoder makes `sample_rate` samples per second."""
        return SpeechDecoderFacts(
            sample_rate=sample_rate,
            frame_rate=self.frame_rate,
            codebook_size=self.codebook_size,
            speech_fingerprint=self.speech_fingerprint,
        )


def save_decoder(folder: Path, parts: dict[str, Any], net: nn.Module) -> None:
    """Write config.json with `parts`, and the weights of `net`."""
    (folder / CONFIG).write_text(to_json(parts, indent=1) + "\n")
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, folder / WEIGHTS)


def read_parts(folder: Path) -> dict[str, Any]:
    """Read config.json; FileNotFoundError if a file of the decoder is missing."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"speech decoder {folder} holds no {name}; run megatron-speech train_speech_decoder first"
            )
    parts: dict[str, Any] = read_json(folder / CONFIG)
    return parts


def load_weights(folder: Path, net: nn.Module) -> None:
    """Load the weights of `net`; ValueError (names the file) if they are damaged or another network's."""
    path = folder / WEIGHTS
    try:
        net.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        # The first line says what; the following ones list tensors.
        what = str(error).splitlines()[0]
        raise ValueError(f"{path}: no weights of the network in {CONFIG} ({what}); restore both files") from error


def require_codes(codes: torch.Tensor, codebook_size: int) -> None:
    """Raise ValueError unless `codes` is [N] of codes in 0 .. codebook_size - 1; N may be 0."""
    if codes.ndim != 1:
        raise ValueError(f"codes of shape {tuple(codes.shape)} must be [N]; pass one utterance at a time")
    if len(codes) and (int(codes.min()) < 0 or int(codes.max()) >= codebook_size):
        raise ValueError(
            f"codes {int(codes.min())} .. {int(codes.max())} must lie in 0 .. {codebook_size - 1}; "
            "decode with the network trained on this tokenizer"
        )
