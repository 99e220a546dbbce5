"""Initial weights as a function of (seed, parameter name): the same model in every parallel layout.

megatron-core draws each rank's slice from that rank's generator, so initial weights depend on the layout. Here every
rank draws the whole matrix of each parameter it holds, and keeps its slice. The generator (on the CPU) is seeded by the
run's seed and the parameter's global name. Cost: a rank draws `tensor parallel size` times as much as it keeps.

The distribution is Megatron's: normal with standard deviation `init_method_std`. It is divided by sqrt(2 * num_layers)
for the two matrices that write into the residual stream (attention output, MLP output). Norm weights stay 1, biases 0,
and the rows that pad the vocabulary are 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from megatron.core.models.gpt import GPTModel
from torch import Tensor

from megatron_speech.config.run.model import ModelConfig
from megatron_speech.parallel import groups
from megatron_speech.randomness import sha256_number

RESIDUAL_OUTPUTS = ("self_attention.linear_proj.weight", "mlp.linear_fc2.weight")
GATED_INPUT = "mlp.linear_fc1.weight"
VOCABULARY_ROWS = ("embedding.word_embeddings.weight", "output_layer.weight")


@torch.no_grad()
def initialize_weights(chunk: GPTModel, model: ModelConfig, *, num_ids: int, seed: int) -> None:
    """Draw every matrix of this rank's chunk; rows from `num_ids` on in embedding and head are padding, set to 0."""
    for name, weight in global_parameters(chunk):
        if weight.dim() < 2:
            continue
        std = model.init_method_std
        if name.endswith(RESIDUAL_OUTPUTS):
            std /= math.sqrt(2 * model.num_layers)
        full = torch.empty(full_shape(weight)).normal_(0.0, std, generator=_generator(seed, name))
        if name in VOCABULARY_ROWS:
            full[num_ids:] = 0
        weight.copy_(shard(full, weight, name=name))


def global_parameters(chunk: GPTModel) -> Iterator[tuple[str, Tensor]]:
    """(name with the layer's number in the whole model, this rank's slice); a tied head gets the embedding's name."""
    tied = chunk.share_embeddings_and_output_weights
    for name, weight in chunk.named_parameters():
        if name.startswith("decoder.layers."):
            local, rest = name.removeprefix("decoder.layers.").split(".", 1)
            name = f"decoder.layers.{chunk.decoder.layers[int(local)].layer_number - 1}.{rest}"
        if tied and name == "output_layer.weight":
            name = "embedding.word_embeddings.weight"
        yield name, weight


def full_shape(weight: Tensor) -> list[int]:
    """Shape of the whole matrix, given its tensor parallel slice `weight`."""
    shape, dim = list(weight.shape), _split_dim(weight)
    if dim is not None:
        shape[dim] *= groups.tensor_parallel_size()
    return shape


def shard(full: Tensor, weight: Tensor, *, name: str) -> Tensor:
    """This rank's slice of `full` (shape: `full_shape(weight)`), cut along the dimension that `weight` is split in.

    The gated MLP's input matrix holds the gate and the up projection one after the other; each is cut by itself.
    """
    dim = _split_dim(weight)
    if dim is None:
        return full
    size, rank = groups.tensor_parallel_size(), groups.tensor_parallel_rank()
    parts = full.chunk(2, dim) if name.endswith(GATED_INPUT) else (full,)
    return torch.cat([part.chunk(size, dim)[rank] for part in parts], dim)


def _split_dim(weight: Tensor) -> int | None:
    """Dimension that tensor parallel ranks split `weight` in (megatron's attribute); None if `weight` is whole."""
    return getattr(weight, "partition_dim", None) if getattr(weight, "tensor_model_parallel", False) else None


def _generator(seed: int, name: str) -> torch.Generator:
    return torch.Generator().manual_seed(sha256_number(f"{seed}:{name}", num_bytes=8) >> 1)
