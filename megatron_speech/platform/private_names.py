"""Wraps the private names of other libraries that this project uses, each in a function with a public name.

Private names may change with any release. So `pyproject.toml` limits the versions of their libraries, and one test uses
every name: a change fails here first. Each name is imported inside its function, so rooms without torch can use this
file. Every docstring says what the name is needed for and what could replace it. Names of megatron-core that
`platform.standin` replaces are listed and checked there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datatrove.executor import LocalPipelineExecutor
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from torch.distributed import Store
    from torch.distributed.checkpoint.filesystem import _StorageInfo
    from transformers import PretrainedConfig

    StorageInfo = _StorageInfo

OVERRIDDEN = (("megatron.core.tensor_parallel.layers", ("ColumnParallelLinear", "RowParallelLinear"), "_forward_impl"),)
"""(module, classes, method): private methods that our subclasses override.

Needed for FP8 products on a CPU (`model.fp8_emulation`). Replaced by a public hook around the product, if there is one.
"""


def run_for_rank(executor: LocalPipelineExecutor) -> Callable[[int], Any]:
    """The method of a datatrove executor that runs one task.

    Needed to start tasks in our own processes. Replaced by a public function that runs one task.
    """
    run: Callable[[int], Any] = executor._run_for_rank
    return run


def fake_store() -> Store:
    """The store of torch's "fake" process groups without communication; importing it registers their backend.

    Needed to build the model of any rank in one process. Replaced by a public fake backend.
    """
    from torch.testing._internal.distributed.fake_pg import FakeStore

    return FakeStore()


def tensors_without_storage() -> AbstractContextManager[Any]:
    """A context manager: tensors made inside have shapes and no storage.

    Needed to build a model larger than memory. Replaced by the meta device, once megatron-core builds on it.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode()


def fused_adam_kernel(*, decoupled: bool) -> Callable[..., None]:
    """torch's fused update of many parameters: AdamW with `decoupled` weight decay, else Adam.

    Needed for an Adam with its step in the parameter group. Replaced by `torch.optim.AdamW(fused=True)`, once the
    distributed optimizer can reshard a step per parameter.
    """
    import torch

    return torch._fused_adamw_ if decoupled else torch._fused_adam_


def storage_info(file: str, *, offset: int, length: int) -> StorageInfo:
    """Entry of a checkpoint index: the `file` of a chunk, its byte `offset` and its `length` in bytes.

    Needed to write a checkpoint tensor by tensor. Replaced by a public writer that takes one tensor at a time.
    """
    from torch.distributed.checkpoint.filesystem import _StorageInfo

    return _StorageInfo(file, offset, length)


def keyed_by_shard(sharded_state: dict[str, Any], *, keep_only_main_replica: bool) -> dict[str, Any]:
    """A sharded state dictionary of megatron-core, flattened: the keys are those that its parts are saved under.

    Needed to save from the calling process. Replaced by a save strategy of the library that starts no helper process.
    """
    from megatron.core.dist_checkpointing.strategies.torch import _replace_state_dict_keys_with_sharded_keys

    flat: dict[str, Any]
    flat, _, _ = _replace_state_dict_keys_with_sharded_keys(sharded_state, keep_only_main_replica)
    return flat


def use_attention(config: PretrainedConfig, implementation: str) -> None:
    """Choose the attention implementation, such as "sdpa", of transformers' layers that are built from `config`.

    Needed for layers built without `from_pretrained`. Replaced by a public setting of the configuration.
    """
    config._attn_implementation = implementation


def session_start() -> Event:
    """A TensorBoard event that makes readers drop later steps of earlier sessions.

    Needed where a resumed run repeats steps. Replaced by `SummaryWriter(purge_step=...)` of `torch.utils.tensorboard`.
    """
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    return Event(session_log=SessionLog(status=SessionLog.START))


def scalar_summary(scalars: Mapping[str, float]) -> Summary:
    """All `scalars` of a step as one TensorBoard summary.

    Needed because `add_scalar` makes one event each, and a dozen cost milliseconds. Replaced by a public call for many.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()])
