"""DNSMOS (arXiv 2110.01763): predicts the mean opinion score of 16 kHz speech with Microsoft's network.

The input is exactly 9.01 seconds. Shorter clips are repeated; longer ones are scored in windows one second apart, and
the scores are averaged. Published polynomials map the three raw outputs to opinion scores. White noise scores about
1.1, a clean synthetic voice about 3.3.
Limitation: the scores rank degradations but do not replace a listening test.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_RATE = 16000
WINDOW_S = 9.01
# Map raw outputs to mean opinion scores; highest power first (section 3 of the paper's released code).
POLYNOMIALS = {
    "signal": (-0.08397278, 1.22083953, 0.0052439),
    "background": (-0.13166888, 1.60915514, -0.39604546),
    "overall": (-0.06766283, 1.11546468, 0.04602535),
}


@dataclass(frozen=True, kw_only=True)
class OpinionScores:
    """Predicted mean opinion scores, 1 (bad) to 5 (excellent)."""

    signal: float
    """Quality of the speech itself."""
    background: float
    """Quality of the background; low if it is noisy."""
    overall: float
    """Overall quality."""


class Dnsmos:
    """The network in the file `sig_bak_ovr.onnx`, run on one thread."""

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ValueError(
                "DNSMOS needs onnxruntime; install the extra: pip install megatron-speech[eval]"
            ) from error
        if not path.is_file():
            raise FileNotFoundError(f"DNSMOS network {path} does not exist; it comes with the package speechmos")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def score(self, waveform: np.ndarray) -> OpinionScores:
        """Scores of a mono 16 kHz waveform [N] float32 in -1 .. 1, averaged over windows one second apart."""
        if waveform.ndim != 1 or not len(waveform):
            raise ValueError(
                f"waveform of shape {waveform.shape} must be mono with at least one sample; drop empty clips"
            )
        raw = np.stack([self._session.run(None, {"input_1": window[None]})[0][0] for window in windows_of(waveform)])
        values = {name: float(np.polyval(POLYNOMIALS[name], raw[:, i]).mean()) for i, name in enumerate(POLYNOMIALS)}
        return OpinionScores(**values)


def windows_of(waveform: np.ndarray) -> list[np.ndarray]:
    """Windows of 9.01 s, one second apart; a short clip is doubled until it fills one window."""
    length = int(WINDOW_S * SAMPLE_RATE)
    waveform = waveform.astype(np.float32, copy=False).clip(-1.0, 1.0)
    while len(waveform) < length:
        waveform = np.concatenate([waveform, waveform])
    starts = range(0, len(waveform) - length + 1, SAMPLE_RATE)
    return [waveform[start : start + length] for start in starts]
