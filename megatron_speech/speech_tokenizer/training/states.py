"""Computes the outputs of the frozen layers once and caches them on disk, so that steps compute trained layers only.

A file holds the states of `PART` utterances (safetensors, float16). Ranks divide the files, and finished files are not
computed again. Files are memory-mapped. Cost: 12.5 states per second of speech, which is 35 MB per hour for Whisper
tiny, and the rounding to float16.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file

from megatron_speech.artifacts.files import naming_file, rename_synced
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.grouping import batches_by_length
from megatron_speech.parallel.agree import divided, on_every_rank
from megatron_speech.progress import Progress
from megatron_speech.speech_tokenizer.encoder import mel_batch
from megatron_speech.speech_tokenizer.model import SpeechRecognitionModel
from megatron_speech.speech_training.scan import ScannedSource

logger = logging.getLogger(__name__)

PART = 512
"""Utterances per file."""
BATCH_SECONDS = 60
"""Seconds of padded speech per batch."""


class KeptStates:
    """Cached states after pooling of every utterance of the sources; safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = lru_cache(maxsize=256)(_open)

    @classmethod
    def compute(
        cls,
        folder: Path,
        model: SpeechRecognitionModel,
        sources: list[ScannedSource],
        *,
        stop: Callable[[], bool] = lambda: False,
    ) -> KeptStates:
        """Compute the states that are not in `folder` yet; raises Stopped between two files if `stop()`. Collective."""
        on_every_rank(lambda: folder.mkdir(parents=True, exist_ok=True))
        parts = [
            (number, first) for number, source in enumerate(sources) for first in range(0, len(source.index), PART)
        ]
        model.eval()
        about = "train_speech_tokenizer: states of frozen layers"
        # Ranks divide the parts, so rank 0 knows about its own alone.
        own = parts[dist.get_rank() :: dist.get_world_size()]
        with Progress(about, unit="parts", total=len(own)) as progress:

            def work(part: tuple[int, int]) -> None:
                compute_part(folder, model, sources[part[0]], *part)
                progress.add()

            divided(parts, work, stop=stop)
        return cls(folder)

    def get(self, source: int, utterance: int) -> torch.Tensor:
        """States of one utterance, [T, D] float16."""
        file, ends = self._open(_path(self._folder, source, utterance // PART * PART))
        place = utterance % PART
        states: torch.Tensor = file.get_slice("states")[ends[place] : ends[place + 1]]
        return states


@torch.no_grad()
def front_states(model: SpeechRecognitionModel, waves: list[torch.Tensor]) -> list[torch.Tensor]:
    """States after pooling of each waveform [N], in order: [T, D] float16 on the CPU."""
    device = next(model.parameters()).device
    states: list[torch.Tensor] = [torch.empty(0)] * len(waves)
    for batch in batches_by_length([len(wave) for wave in waves], max_total=BATCH_SECONDS * SAMPLE_RATE):
        mels = mel_batch([waves[index].to(device) for index in batch], model.config)
        pooled_BTD, lengths_B = model.encoder.front(mels)
        for index, row_TD, length in zip(batch, pooled_BTD.half().cpu(), lengths_B.tolist(), strict=True):
            states[index] = row_TD[:length]
    return states


def compute_part(folder: Path, model: SpeechRecognitionModel, source: ScannedSource, number: int, first: int) -> None:
    """Write the file with the states of `PART` utterances from number `first` on, unless it exists."""
    path = _path(folder, number, first)
    if path.is_file():
        return
    last = min(first + PART, len(source.index))
    waves = [torch.from_numpy(source.index.waveform(utterance)) for utterance in range(first, last)]
    states = front_states(model, waves)
    temporary = path.with_suffix(".tmp")
    lengths = torch.tensor([len(each) for each in states])
    with naming_file(temporary):
        save_file({"states": torch.cat(states), "lengths": lengths}, temporary)
    rename_synced(temporary, path)
    seconds = sum(map(len, waves)) / SAMPLE_RATE
    logger.info(
        "%s: utterances %d to %d of %d, %.2f hours", path.name, first, last - 1, len(source.index), seconds / 3600
    )


def _path(folder: Path, source: int, first: int) -> Path:
    return folder / f"states-{source}-{first // PART:06d}.safetensors"


def _open(path: Path) -> tuple[Any, list[int]]:
    """Open a file of states; returns it with the boundaries of its utterances, 0 first."""
    file = safe_open(path, framework="pt").__enter__()
    return file, [0, *file.get_tensor("lengths").cumsum(0).tolist()]
