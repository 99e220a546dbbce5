"""The stand-in: every symbol exists, a second call changes nothing, a GPU is left alone; its Adam is torch's."""

from __future__ import annotations

import importlib

import pytest
import torch

from megatron_speech.platform import standin
from megatron_speech.platform.adam import GroupStepAdam
from tests.ranks import run_ranks


def test_every_symbol_exists_and_is_replaced_once() -> None:
    run_ranks(_check_symbols, 1)


def test_with_cuda_nothing_is_touched() -> None:
    run_ranks(_check_gpu_untouched, 1)


def test_a_symbol_that_is_gone_is_named() -> None:
    with pytest.raises(AssertionError, match=r"megatron.core.jit.absent is gone"):
        standin._replace("megatron.core.jit", "absent", None)


def test_every_replacement_states_its_reason() -> None:
    rows = standin.symbols()
    assert len({(path, name) for path, name, *_ in rows}) == len(rows)
    assert all(reason for *_, reason in rows)


def _check_symbols(rank: int, world_size: int, init_method: str) -> None:
    standin.install()
    before = {(path, name): _value(path, name) for path, name, *_ in standin.symbols()}
    standin.install()
    assert all(_value(*key) is value for key, value in before.items())
    assert not torch.cuda.is_available()
    assert torch.cuda.current_device() == torch.device("cpu")
    with standin._cuda_type_names():
        assert torch.ones(1).bfloat16().type() == "torch.cuda.BFloat16Tensor"
        assert torch.ones(1).type(torch.int32).dtype is torch.int32
    assert torch.ones(1).type() == "torch.FloatTensor"


def _check_gpu_untouched(rank: int, world_size: int, init_method: str) -> None:
    standin._install.cache_clear()
    torch.cuda.is_available = lambda: True
    standin.install()
    assert standin._install.cache_info().currsize == 0, "install() must not have patched"


def _value(path: str, name: str) -> object:
    value = importlib.import_module(path)
    for part in name.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("decoupled", [True, False])
def test_adam_matches_torch(decoupled: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    ours, theirs = (
        [torch.nn.Parameter(torch.randn(5, 3, generator=draw.manual_seed(1))), torch.nn.Parameter(torch.ones(4))]
        for _ in range(2)
    )
    settings = {"lr": 0.01, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}
    mine = GroupStepAdam(ours, **settings, adam_w_mode=decoupled)
    reference = (torch.optim.AdamW if decoupled else torch.optim.Adam)(theirs, **settings)
    for step in range(5):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=draw)
            b.grad = a.grad.clone()
        if step == 2:  # through a saved state
            fresh = GroupStepAdam(ours, lr=9.0, adam_w_mode=decoupled)
            fresh.load_state_dict(mine.state_dict())
            mine = fresh
        mine.step()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    assert mine.param_groups[0]["step"] == 5
    assert set(mine.state[ours[0]]) == {"exp_avg", "exp_avg_sq"}
