"""Saves and loads training checkpoints through megatron-core's `dist_checkpointing`: by all ranks, in any layout.

A checkpoint is one global state (weights, optimizer moments, generators), not one file per rank. So a run saved by 2
pipeline stages continues on 2 data parallel ranks. `checkpoint/folder.py` gives the folder its name only when it is
complete. If one rank fails, all raise the same error instead of waiting for it.

Cost: saving blocks training and gathers the optimizer state over data parallel ranks, as the layout-free format needs.
Limitation: `parallel.use_distributed_optimizer` is part of the format and must stay the same when a run resumes.

Pickles: torch reads ``common.pt`` (step counts, parameter groups) with ``weights_only``. The index ``.metadata`` is a
pickle, so `checkpoint/index.py` reads it first and refuses classes that are not on its list. One risk remains: torch
unpickles the ``_extra_state`` blobs of Transformer Engine in FP8. Load such checkpoints only from people you trust.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch.distributed as dist
from megatron.core import dist_checkpointing
from megatron.core.dist_checkpointing.mapping import ShardedObject
from megatron.core.dist_checkpointing.strategies.fully_parallel import FullyParallelSaveStrategyWrapper
from megatron.core.dist_checkpointing.strategies.torch import (
    MCoreSavePlanner,
    TorchDistSaveShardedStrategy,
    mcore_to_pyt_state_dict,
)
from megatron.core.dist_checkpointing.validation import StrictHandling
from megatron.core.distributed import DistributedDataParallel
from megatron.core.optimizer import MegatronOptimizer
from torch import nn
from torch.distributed import checkpoint as torch_checkpoint

from megatron_speech.artifacts.facts.checkpoint import CheckpointState
from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.distributed.bucket_padding import without_bucket_padding
from megatron_speech.checkpoint.distributed.finite import require_finite
from megatron_speech.checkpoint.distributed.generators import set_generators, sharded_generators
from megatron_speech.checkpoint.index import read_index
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig
from megatron_speech.model.forward import unwrap
from megatron_speech.model.fp8_scaling import Delayed
from megatron_speech.parallel import groups
from megatron_speech.parallel.agree import divided, on_every_rank, on_rank_zero
from megatron_speech.platform.private_names import keyed_by_shard
from megatron_speech.vocabulary import Vocabulary

# The one format that every layout can read; see DistributedOptimizer.sharded_state_dict.
_FORMAT = {"distrib_optim_sharding_type": "fully_reshardable", "chained_optim_avoid_prefix": True}
# Name suffixes of FP8 state from earlier steps. It is not a weight, so a new run starts without it.
_EXTRA_STATE = "_extra_state"
_FP8_STATE = (_EXTRA_STATE, *Delayed.STATE)

# Settings that decide which rank draws which random numbers. Others affect only memory and time.
_GENERATOR_PLACES = (
    "tensor_model_parallel_size",
    "pipeline_model_parallel_size",
    "virtual_pipeline_model_parallel_size",
    "pipeline_model_parallel_layout",
    "context_parallel_size",
    "sequence_parallel",
    "world_size",
)


def save_checkpoint(
    folder: Path,
    *,
    chunks: Sequence[nn.Module],
    optimizer: MegatronOptimizer | None,
    model: ModelConfig,
    vocabulary: Vocabulary,
    parallel: ParallelConfig,
    state: CheckpointState,
) -> None:
    """Save everything that training needs to resume, under `folder`, complete or not at all. Collective.

    Args:
        folder: final name, such as ``run/checkpoints/step_100``.
        chunks: this rank's model chunks, bare or wrapped for data parallelism.
        optimizer: None to save weights alone.
        model: written as model.json.
        vocabulary: written as vocabulary.json.
        parallel: layout of this run; generators can be restored only in it.
        state: progress of the run; what describes the weights is added.

    Raises:
        FileExistsError: `folder` exists; on all ranks.
        FloatingPointError: a weight or a moment of any rank is not finite; on all ranks.
    """
    # Check the weights, then make the folder.
    partial = folder.with_name(folder.name + folders.PARTIAL)
    _finish_param_gather(chunks)
    on_every_rank(lambda: require_finite(chunks, optimizer))
    on_rank_zero(lambda: folders.begin(folder))

    # Write the tensors: each rank its part.
    sharded = _sharded_state(chunks, optimizer, is_loading=False)
    dist_checkpointing.save(
        sharded, str(partial), FullyParallelSaveStrategyWrapper(_InProcessSave(), groups.data_parallel_group())
    )

    # Write what describes them and the checksums; the folder then gets its final name.
    facts = replace(
        state,
        layout=_layout(parallel),
        has_optimizer=optimizer is not None,
        dtype=_dtype(chunks),
        fp8_amax_history_len=_history_len(chunks),
    )
    _seal(partial, model=model, vocabulary=vocabulary, state=facts)


def save_model(folder: Path, chunks: Sequence[nn.Module], *, model: ModelConfig, vocabulary: Vocabulary) -> None:
    """Save weights alone, as a starting point (`model.base`) or for export. Collective; also works in one process."""
    save_checkpoint(
        folder,
        chunks=chunks,
        optimizer=None,
        model=model,
        vocabulary=vocabulary,
        parallel=ParallelConfig(),
        state=CheckpointState(step=0),
    )


def load_model(folder: Path, chunks: Sequence[nn.Module], *, model: ModelConfig, vocabulary: Vocabulary) -> None:
    """Load weights alone into `chunks`, in any layout. Collective.

    Raises FileNotFoundError or ValueError if `folder` is missing, damaged, or of another shape or vocabulary.
    """
    _check(folder, model=model, vocabulary=vocabulary)
    wanted = _sharded_state(chunks, None, is_loading=True, generators=False)
    weights = {
        chunk: {name: part for name, part in parts.items() if not name.endswith(_FP8_STATE)}
        for chunk, parts in wanted.items()
    }
    _into_chunks(_load(folder, weights), chunks)


def load_checkpoint(
    folder: Path,
    *,
    chunks: Sequence[nn.Module],
    optimizer: MegatronOptimizer,
    model: ModelConfig,
    vocabulary: Vocabulary,
    parallel: ParallelConfig,
) -> CheckpointState:
    """Load what `save_checkpoint` saved, in any layout, and return its state. Collective.

    Dropout's generators are restored only in the layout that saved them; in another one their states are not valid.
    Raises FileNotFoundError or ValueError (on all ranks) naming what is missing, damaged or different.
    """
    # Check the files, then the settings that a resumed run must keep.
    _check(folder, model=model, vocabulary=vocabulary)
    state = folders.read_state(folder)
    if not state.has_optimizer:
        raise ValueError(f"{folder} holds weights alone and cannot be resumed; start a new run from it with model.base")
    assert state.layout is not None, "saved with the optimizer"
    if (sharded := state.layout["use_distributed_optimizer"]) != parallel.use_distributed_optimizer:
        raise ValueError(
            f"{folder}: parallel.use_distributed_optimizer={sharded} there, "
            f"{parallel.use_distributed_optimizer} in this run; a resumed run must keep it"
        )
    theirs, here = state.dtype, _dtype(chunks)
    if theirs is not None and theirs != here:  # only bfloat16 has float32 master weights
        raise ValueError(
            f"{folder}: precision.dtype={theirs} there, {here} in this run; resume with {theirs}, or start a new run "
            "from it with model.base"
        )
    history, ours = state.fp8_amax_history_len or 0, _history_len(chunks)
    if ours and history != ours:
        raise ValueError(
            f"{folder}: precision.fp8_amax_history_len={history} there (0: no delayed FP8 scales), {ours} in this run; "
            "resume with the precision it was saved with, or start a new run from it with model.base"
        )

    # Load everything; generators only in the layout that saved them.
    places = _layout(parallel)
    same_layout = all(state.layout.get(name) == places[name] for name in _GENERATOR_PLACES)
    loaded = _load(folder, _sharded_state(chunks, optimizer, is_loading=True, generators=same_layout))
    _into_chunks(loaded, chunks)
    optimizer.load_state_dict(loaded["optimizer"])
    if same_layout:
        set_generators(loaded["generators"])
    return state


class _InProcessSave(TorchDistSaveShardedStrategy):
    """Writes megatron-core's torch_dist format from the calling process.

    megatron-core's own writer forks workers and keeps a helper process. The helper dies of the signals that ask a run
    to stop, and outlives a run that is killed. One write per rank needs neither.
    """

    def __init__(self) -> None:
        super().__init__("torch_dist", 1, thread_count=1)

    def save(self, sharded_state_dict: dict[str, Any], checkpoint_dir: str | Path) -> None:
        flat = keyed_by_shard(sharded_state_dict, keep_only_main_replica=self.keep_only_main_replica)
        torch_checkpoint.save(
            mcore_to_pyt_state_dict(flat, False),
            storage_writer=torch_checkpoint.FileSystemWriter(checkpoint_dir, sync_files=True),
            planner=MCoreSavePlanner(dedup_replicated_tensors=False, flatten_state_dict=False),
        )


def _sharded_state(
    chunks: Sequence[nn.Module], optimizer: MegatronOptimizer | None, *, is_loading: bool, generators: bool = True
) -> dict[str, Any]:
    """This rank's part of the global state: model chunks, optimizer if given, generators."""
    models = {f"model{index}": _sharded_chunk(unwrap(chunk)) for index, chunk in enumerate(chunks)}
    state: dict[str, Any] = dict(models)
    if optimizer is not None:
        with without_bucket_padding(optimizer):
            state["optimizer"] = optimizer.sharded_state_dict(models, is_loading=is_loading, metadata=_format())
    if generators:
        state["generators"] = sharded_generators()
    return state


def _format() -> dict[str, Any]:
    """A new copy of `_FORMAT` with the data parallel group; megatron-core modifies the dictionary that it is given."""
    return {**_FORMAT, "dp_cp_group": groups.data_parallel_group()}


def _finish_param_gather(chunks: Sequence[nn.Module]) -> None:
    """Gather updated weights now if `overlap_param_gather` left it to the next forward pass. Collective."""
    for chunk in chunks:
        if isinstance(chunk, DistributedDataParallel) and chunk.ddp_config.overlap_param_gather:
            chunk.start_param_sync(force_sync=True)


def _sharded_chunk(chunk: Any) -> dict[str, Any]:
    """Weights, without the empty ``_extra_state`` objects of layers without FP8, which would be saved as pickles."""
    parts = chunk.sharded_state_dict(metadata=_format())
    return {name: part for name, part in parts.items() if not (isinstance(part, ShardedObject) and part.data is None)}


def _load(folder: Path, sharded: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = dist_checkpointing.load(sharded, str(folder), strict=StrictHandling.RAISE_UNEXPECTED)
    return found


def _into_chunks(loaded: Mapping[str, Any], chunks: Sequence[nn.Module]) -> None:
    for index, chunk in enumerate(chunks):
        own = unwrap(chunk)
        kept = {
            name: None if name.endswith(_EXTRA_STATE) else part
            for name, part in own.state_dict().items()
            if name.endswith(_FP8_STATE)
        }
        own.load_state_dict(kept | loaded[f"model{index}"])


def _dtype(chunks: Sequence[nn.Module]) -> str | None:
    """Number format of the weights as in `precision.dtype`; None without weights."""
    first = next((weight for chunk in chunks for weight in chunk.parameters()), None)
    return None if first is None else str(first.dtype).removeprefix("torch.")


def _history_len(chunks: Sequence[nn.Module]) -> int:
    """Micro-batches in the history of delayed FP8 scales (emulated layers); 0 without such scales."""
    modules = (module for chunk in chunks for module in chunk.modules())
    return max((module.amax_history.shape[1] for module in modules if isinstance(module, Delayed)), default=0)


def _layout(parallel: ParallelConfig) -> dict[str, Any]:
    return {**to_dict(parallel), "world_size": dist.get_world_size()}


def _seal(partial: Path, *, model: ModelConfig, vocabulary: Vocabulary, state: CheckpointState) -> None:
    """Write the facts and the checksums of all files, then give the folder its final name. Collective."""

    def begin() -> list[Path]:
        folders.write_facts(partial, model=model, vocabulary=vocabulary, state=state)
        return sorted(partial.iterdir())

    def finish() -> None:
        folders.write_checksums(partial, {name: value for part in sums for name, value in part.items()})
        folders.complete(partial)

    sums = divided(on_rank_zero(begin), lambda path: folders.checksums([path]))
    on_rank_zero(finish)


def _check(folder: Path, *, model: ModelConfig, vocabulary: Vocabulary) -> None:
    """Check everything that can be checked before tensors are read. Collective.

    Ranks divide the files among them. No rank parses a file before all files have matched their checksums.
    """
    on_every_rank(lambda: folders.verify(folder, part=dist.get_rank(), parts=dist.get_world_size()))

    def parse() -> None:
        folders.require_same_model(folder, model=model, vocabulary=vocabulary)
        read_index(folder)

    on_every_rank(parse)
