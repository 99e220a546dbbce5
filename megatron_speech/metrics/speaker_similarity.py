"""How alike two voices are: the cosine between their embeddings by a speaker encoder (GE2E, arXiv 1710.10467).

The encoder is a network of three LSTM layers over pieces of 1.6 s, whose published weights the package resemblyzer
brings. A quiet clip is made louder before; embeddings of overlapping pieces are averaged. Two clips of a synthetic
voice gave 0.93 to 0.95, of a human one 0.70 to 0.94, and one clip of each 0.47 to 0.69.
Limitation: silence is not cut out, and another encoder gives other numbers. Published similarities of seed-tts-eval are
by WavLM, so they cannot be compared.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from transformers.audio_utils import mel_filter_bank

SAMPLE_RATE = 16000
HOP, WINDOW, MELS = 160, 400, 40
FRAMES, STEP = 160, 77
"""Frames of a piece, and between the beginnings of two."""
LEAST = 0.75
"""Share of the last piece that must hold sound, if there is another."""
LOUDNESS = 10 ** (-30 / 20)
"""Root mean square of full scale, up to which quiet clips are raised."""
SIZE, LAYERS = 256, 3
WEIGHTS = "model.safetensors"


class SpeakerEncoder:
    """The network in a folder."""

    def __init__(self, folder: Path) -> None:
        """Read the folder. Raises FileNotFoundError or ValueError if it holds no such network."""
        if not (folder / WEIGHTS).is_file():
            raise FileNotFoundError(f"{folder} holds no {WEIGHTS} of a speaker encoder; fetch_assets brings one")
        with torch.random.fork_rng(devices=[]):  # building a layer draws random numbers
            self._network = nn.ModuleDict(
                {"lstm": nn.LSTM(MELS, SIZE, LAYERS, batch_first=True), "linear": nn.Linear(SIZE, SIZE)}
            ).eval()
        try:
            self._network.load_state_dict(load_file(folder / WEIGHTS))
        except Exception as error:
            raise ValueError(f"{folder / WEIGHTS}: no weights of a speaker encoder; fetch the assets again") from error

    @torch.inference_mode()
    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """Embedding of a mono 16 kHz waveform [N] float32 in -1 .. 1: float32 [SIZE], of length 1."""
        if waveform.ndim != 1 or not len(waveform):
            raise ValueError(
                f"waveform of shape {waveform.shape} must be mono with at least one sample; drop empty clips"
            )
        _, (hidden, _) = self._network["lstm"](pieces(waveform))
        each = F.normalize(F.relu(self._network["linear"](hidden[-1])), dim=1)
        embedding: np.ndarray = F.normalize(each.mean(dim=0), dim=0).numpy()
        return embedding

    def similarity(self, first: np.ndarray, second: np.ndarray) -> float:
        """Cosine of the embeddings of two waveforms, from 0 to 1."""
        return float(self.embed(first) @ self.embed(second))


def pieces(waveform: np.ndarray) -> torch.Tensor:
    """Mel spectra of the overlapping pieces of a clip, [number, FRAMES, MELS]; the last one may end in silence."""
    starts = list(range(0, max(1, len(waveform) // HOP + 1 - FRAMES + STEP + 1), STEP))
    if len(starts) > 1 and len(waveform) - starts[-1] * HOP < LEAST * FRAMES * HOP:
        starts.pop()
    loudness = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
    louder = waveform * (LOUDNESS / loudness if 0 < loudness < LOUDNESS else 1.0)
    missing = max(0, (starts[-1] + FRAMES) * HOP - len(waveform))
    frames = _mel(torch.from_numpy(np.pad(louder, (0, missing)).astype(np.float32)))
    return torch.stack([frames[start : start + FRAMES] for start in starts])


def _mel(waveform: torch.Tensor) -> torch.Tensor:
    """Mel spectrum of power, [F, MELS]."""
    spectrum = torch.stft(
        waveform,
        WINDOW,
        HOP,
        window=torch.hann_window(WINDOW),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return spectrum.abs().square().T @ _filters()


@cache
def _filters() -> torch.Tensor:
    """Mel filters [WINDOW / 2 + 1, MELS]."""
    filters = mel_filter_bank(
        WINDOW // 2 + 1, MELS, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )
    return torch.from_numpy(filters).float()
