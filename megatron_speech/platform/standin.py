"""Lets megatron-core run without a CUDA device, so that a laptop runs the same code that trains on H100s.

megatron-core depends on CUDA in five ways. It calls `torch.cuda`, creates small tensors with ``device="cuda"``, and
forks the GPU's random generator. It also compares type names such as ``torch.cuda.FloatTensor``, and expects a fused
Adam. `symbols` lists every symbol that `install` replaces, with the reason. If an upgrade has removed one, `install`
stops and names it. On a machine with CUDA, `install` does nothing.

Limitations, on machines without CUDA only: after `install`, `torch.cuda` calls of this process answer for the CPU
(`torch.cuda.is_available()` stays False). The list belongs to one version of megatron-core.
"""

from __future__ import annotations

import functools
import importlib
import logging
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from megatron_speech.platform.adam import GroupStepAdam


def install() -> None:
    """Patch torch and megatron-core for CPU and gloo. With CUDA, or called again, it does nothing."""
    if not torch.cuda.is_available():
        _install()


@functools.cache
def _install() -> None:
    with warnings.catch_warnings():
        # megatron-core warns that Transformer Engine and Apex are missing; `doctor` reports that, with the cost.
        warnings.simplefilter("ignore")
        # First, before any module imports `jit_fuser`: torch.compile would need a C++ compiler on the machine.
        importlib.import_module("megatron.core.jit").disable_jit_fuser()
        for path, name, replacement, _reason in symbols():
            _replace(path, name, replacement)
        importlib.import_module("megatron.core.models.gpt.gpt_layer_specs")  # warns when first imported
    logging.getLogger("megatron.core.tensor_parallel.random").addFilter(_not_about_cpu_generator)


def symbols() -> list[tuple[str, str, Any, str]]:
    """(module or class, attribute, replacement, reason) of every symbol that `install` replaces."""
    return [*_torch_cuda(), *_factories(), *_random(), *_type_names(), *_optimizer()]


def _torch_cuda() -> list[tuple[str, str, Any, str]]:
    cpu = torch.device("cpu")
    here, nothing = "the device of new tensors", "work on a CPU is never queued: nothing to do"
    generator = "the CPU's generator is the only one"
    return [
        ("torch.cuda", "current_device", lambda: cpu, here),
        ("torch.cuda", "set_device", _nothing, "there is one device"),
        ("torch.cuda", "synchronize", _nothing, nothing),
        ("torch.cuda", "empty_cache", _nothing, "no caching allocator"),
        ("torch.cuda", "get_rng_state", _get_state, generator),
        ("torch.cuda", "set_rng_state", _set_state, generator),
        ("torch.cuda", "manual_seed", torch.manual_seed, generator),
        ("torch.cuda", "Stream", _Stream, "constructed for overlapped communication and saving"),
        ("torch.cuda", "Event", _Stream, "constructed by schedules and timers"),
        ("torch.cuda", "current_stream", lambda device=None: _Stream(), nothing),
        ("torch.cuda", "default_stream", lambda device=None: _Stream(), nothing),
        ("torch.cuda", "stream", lambda stream: nullcontext(), nothing),
        ("torch.cuda", "is_current_stream_capturing", lambda: False, "no CUDA graphs"),
        ("torch.cuda.nvtx", "range_push", _nothing, "no profiler ranges"),
        ("torch.cuda.nvtx", "range_pop", _nothing, "no profiler ranges"),
        ("torch", "Tensor.cuda", lambda self, *args, **kwargs: self, "tensors are already where they belong"),
        ("torch.nn", "Module.cuda", lambda self, device=None: self, "modules are already where they belong"),
    ]


# Modules that create tensors with device="cuda" in code that also runs on a CPU.
_FACTORY_USERS = {
    "megatron.core.pipeline_parallel.schedules": "token count of a step",
    "megatron.core.optimizer.optimizer": "found-inf flag and loss scale",
    "megatron.core.optimizer.grad_scaler": "loss scale",
    "megatron.core.optimizer.clip_grads": "norm buffers",
    "megatron.core.utils": "gradient norm",
    "megatron.core.distributed.param_and_grad_buffer": "warm-up tensor",
    "megatron.core.tensor_parallel.data": "sizes of a broadcast",
    "megatron.core.dist_checkpointing.exchange_utils": "shards exchanged on loading",
    "megatron.core.dist_checkpointing.strategies.state_dict_saver": "agreement of ranks on saving",
}


def _factories() -> list[tuple[str, str, Any, str]]:
    """Replaces the name `torch` inside these modules by a copy that creates "cuda" tensors on the CPU."""
    return [
        (path, "torch", _TorchOnCpu(), f'creates with device="cuda": {what}') for path, what in _FACTORY_USERS.items()
    ]


def _random() -> list[tuple[str, str, Any, str]]:
    module, reason = "megatron.core.tensor_parallel.random", "forks (dropout, recomputation) take the CPU's generator"
    return [
        (module, "_get_cuda_rng_state", _get_state, reason),
        (module, "_set_cuda_rng_state", _set_state, reason),
    ]


def _type_names() -> list[tuple[str, str, Any, str]]:
    reason = 'compares param.type() with names such as "torch.cuda.FloatTensor"'
    users = [
        ("megatron.core.optimizer.clip_grads", "clip_grad_by_total_norm_fp32"),
        ("megatron.core.optimizer.optimizer", "clip_grad_by_total_norm_fp32"),
        ("megatron.core.optimizer.optimizer", "Float16OptimizerWithFloat16Params.__init__"),
        ("megatron.core.optimizer.distrib_optimizer", "DistributedOptimizer.__init__"),
    ]
    return [(path, name, _with_cuda_type_names, reason) for path, name in users]


def _optimizer() -> list[tuple[str, str, Any, str]]:
    package, distributed = "megatron.core.optimizer", "megatron.core.optimizer.distrib_optimizer"
    reason = "torch's AdamW keeps a step per parameter, which the distributed optimizer cannot reshard"
    return [
        (package, "Adam", GroupStepAdam, reason),
        (package, "USING_PYTORCH_OPTIMIZER", False, "take the path of the fused optimizers"),
        (distributed, "Adam", GroupStepAdam, reason),
        (distributed, "HAVE_APEX_OR_TE", True, "take the path of the fused optimizers"),
        (distributed, "USING_APEX_OPTIMIZER", True, "step lives in the parameter group, as in Apex's Adam"),
    ]


class _Replacement:
    """A replacement that wraps the original; `wrap` returns it."""

    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        self.wrap = wrap


def _replace(path: str, name: str, replacement: Any) -> None:
    """Set attribute `name` of the module `path` (dots in `name` go into classes); it must exist already."""
    owner: Any = importlib.import_module(path)
    *classes, attribute = name.split(".")
    for part in classes:
        owner = getattr(owner, part)
    assert hasattr(owner, attribute), f"{path}.{name} is gone: megatron-core or torch changed; revise {__name__}"
    if isinstance(replacement, _Replacement):
        replacement = replacement.wrap(getattr(owner, attribute))
    setattr(owner, attribute, replacement)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Replaces calls that order GPU work or wait for it."""


class _Stream:
    """Replaces CUDA streams and events; their work is always done."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.record = self.wait = self.synchronize = self.wait_stream = self.wait_event = _nothing

    def query(self) -> bool:
        return True


def _on_cpu(factory: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    @functools.wraps(factory)
    def create(*args: Any, **kwargs: Any) -> torch.Tensor:
        if "cuda" in str(kwargs.get("device")):
            kwargs["device"] = "cpu"
        return factory(*args, **kwargs)

    return create


class _TorchOnCpu(types.ModuleType):
    """Replaces `torch` inside one megatron-core module; its tensor factories turn device "cuda" into "cpu"."""

    def __init__(self) -> None:
        super().__init__("torch")
        for name in ("tensor", "zeros", "ones", "empty", "full", "arange", "empty_like"):
            setattr(self, name, _on_cpu(getattr(torch, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def _get_state(device: Any = "cuda", clone: bool = False, graph_safe: bool = False) -> torch.Tensor:
    return torch.get_rng_state()


def _set_state(new_state: torch.Tensor, device: Any = -1, graph_safe: bool = False) -> None:
    torch.set_rng_state(new_state)


def _not_about_cpu_generator(record: logging.LogRecord) -> bool:
    """Log filter that drops the warning that a fork changed the CPU's generator, which is intended here."""
    return "CPU RNG state changed" not in record.getMessage()


@contextmanager
def _cuda_type_names() -> Iterator[None]:
    """Context manager: inside, `tensor.type()` returns ``torch.cuda.FloatTensor`` for ``torch.FloatTensor``."""
    original = torch.Tensor.type

    def type_name(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        found = original(self, *args, **kwargs)
        return found.replace("torch.", "torch.cuda.", 1) if isinstance(found, str) else found

    torch.Tensor.type = type_name  # type: ignore[method-assign,assignment]  # inside this block only
    try:
        yield
    finally:
        torch.Tensor.type = original  # type: ignore[method-assign]  # as it was


def _wrap_type_names(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with _cuda_type_names():
            return function(*args, **kwargs)

    return run


_with_cuda_type_names = _Replacement(_wrap_type_names)
