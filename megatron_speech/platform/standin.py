"""Lets megatron-core run where no CUDA device exists, so that a laptop exercises the very engine that trains on H100s.

The library asks for a device in five ways: it calls `torch.cuda`, creates small tensors with ``device="cuda"``, forks
the GPU's random generator, compares type names such as ``torch.cuda.FloatTensor``, and expects a fused Adam. `symbols`
lists every symbol replaced, with its replacement and the reason; `install` replaces them and stops at one that is gone,
so that an upgrade of the library which renames something fails here, by name. With CUDA `install` does nothing.

Price: after `install`, `torch.cuda` calls of this process answer for the CPU (`torch.cuda.is_available()` stays False),
and the list is bound to megatron-core's version; both only on machines without CUDA.
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
    """Patch torch and megatron-core for CPU and gloo; nothing where CUDA exists; a second call does nothing."""
    if not torch.cuda.is_available():
        _install()


@functools.cache
def _install() -> None:
    with warnings.catch_warnings():
        # The library warns that Transformer Engine and Apex are absent; `doctor` says so once, with what it costs.
        warnings.simplefilter("ignore")
        # First, before any module has taken `jit_fuser`: torch.compile would need a C++ compiler on the machine.
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
    here, nothing = "asked for the place of new tensors", "work on a CPU is never queued: nothing to do"
    return [
        ("torch.cuda", "current_device", lambda: cpu, here),
        ("torch.cuda", "set_device", _nothing, "there is one device"),
        ("torch.cuda", "synchronize", _nothing, nothing),
        ("torch.cuda", "empty_cache", _nothing, "no caching allocator"),
        ("torch.cuda", "get_rng_state", _get_state, "the CPU's generator is the only one"),
        ("torch.cuda", "set_rng_state", _set_state, "likewise"),
        ("torch.cuda", "manual_seed", torch.manual_seed, "likewise"),
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


# Modules that create tensors with device="cuda" on a path that runs without CUDA.
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
    """Each module sees its own `torch`, whose factories turn "cuda" into the CPU; the real one is left alone."""
    return [
        (path, "torch", _TorchOnCpu(), f'creates with device="cuda": {what}') for path, what in _FACTORY_USERS.items()
    ]


def _random() -> list[tuple[str, str, Any, str]]:
    module = "megatron.core.tensor_parallel.random"
    return [
        (module, "_get_cuda_rng_state", _get_state, "forks (dropout, recomputation) take the CPU's generator"),
        (module, "_set_cuda_rng_state", _set_state, "likewise"),
    ]


def _type_names() -> list[tuple[str, str, Any, str]]:
    reason = 'compares param.type() with "torch.cuda.FloatTensor" and kin'
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
        (distributed, "HAVE_APEX_OR_TE", True, "likewise"),
        (distributed, "USING_APEX_OPTIMIZER", True, "step lives in the parameter group, as in Apex's Adam"),
    ]


class _Replacement:
    """Marks a replacement that is computed from the original."""

    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        self.wrap = wrap


def _replace(path: str, name: str, replacement: Any) -> None:
    """Set `path.name` (dots in `name` walk into classes); an absent symbol means the library has changed."""
    owner: Any = importlib.import_module(path)
    *classes, attribute = name.split(".")
    for part in classes:
        owner = getattr(owner, part)
    assert hasattr(owner, attribute), f"{path}.{name} is gone: megatron-core or torch changed; revise {__name__}"
    if isinstance(replacement, _Replacement):
        replacement = replacement.wrap(getattr(owner, attribute))
    setattr(owner, attribute, replacement)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Stands for calls that order or wait for GPU work."""


class _Stream:
    """A stream or event whose work is always done."""

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
    """`torch` as one megatron-core module sees it."""

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
    """Drop the warning that a fork drew from the CPU's generator: here that is the point."""
    return "CPU RNG state changed" not in record.getMessage()


@contextmanager
def _cuda_type_names() -> Iterator[None]:
    """While open, `tensor.type()` says ``torch.cuda.FloatTensor`` for ``torch.FloatTensor``."""
    original = torch.Tensor.type

    def type_name(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        found = original(self, *args, **kwargs)
        return found.replace("torch.", "torch.cuda.", 1) if isinstance(found, str) else found

    torch.Tensor.type = type_name  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        torch.Tensor.type = original  # type: ignore[method-assign]


def _wrap_type_names(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with _cuda_type_names():
            return function(*args, **kwargs)

    return run


_with_cuda_type_names = _Replacement(_wrap_type_names)
