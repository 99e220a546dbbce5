"""Converts the universal HiFi-GAN generator (arXiv 2010.05646, V1) from a torch checkpoint to safetensors.

The checkpoint was trained with weight normalisation: each convolution has a direction `weight_v` and a length
`weight_g`. They are folded into plain weights, w = g * v / |v|, with the norm over all axes but the first. The file is
opened with `weights_only=True`, so it cannot run code.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

from megatron_speech.artifacts.facts.miniature import AssetFacts
from megatron_speech.artifacts.plain_json import to_json

if TYPE_CHECKING:
    import torch

SHAPE_KEYS = (
    "sampling_rate", "num_mels", "n_fft", "hop_size", "win_size", "fmin", "fmax", "resblock", "upsample_rates",
    "upsample_kernel_sizes", "upsample_initial_channel", "resblock_kernel_sizes", "resblock_dilation_sizes",
)  # fmt: skip
"""Keys of the training configuration that describe the network and its mel input."""


def convert_hifigan(checkpoint: Path, config: Path, output: Path) -> AssetFacts:
    """Write model.safetensors, with weight norm folded, and config.json into `output`; returns facts.

    Raises ValueError if `checkpoint` is not a HiFi-GAN checkpoint.
    """
    import torch
    from safetensors.torch import save_file

    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["generator"]
    except (pickle.UnpicklingError, RuntimeError, KeyError) as error:
        raise ValueError(f"{checkpoint}: not a HiFi-GAN checkpoint with a key 'generator'; fetch it again") from error
    weights = fold_weight_norm(state)
    output.mkdir(parents=True, exist_ok=True)
    save_file(weights, output / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads(config.read_text())
    shape = {"model_type": "hifigan", **{key: settings[key] for key in SHAPE_KEYS}}
    (output / "config.json").write_text(to_json(shape, indent=1) + "\n")
    return AssetFacts(parameters=sum(weight.numel() for weight in weights.values()), sample_rate=shape["sampling_rate"])


def fold_weight_norm(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Folds weight norm: ``x.weight_g`` [out, 1, 1] and ``x.weight_v`` [out, in, kernel] become ``x.weight``."""
    folded = {}
    for key, value in state.items():
        if key.endswith("weight_v"):
            name = key.removesuffix("_v")
            length = value.double().flatten(1).norm(dim=1).view(-1, *[1] * (value.dim() - 1))
            folded[name] = (state[f"{name}_g"].double() * value.double() / length).float().contiguous()
        elif not key.endswith("weight_g"):
            folded[key] = value.float().contiguous()
    return folded
