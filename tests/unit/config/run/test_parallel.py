"""Layout settings that contradict each other are refused in one line that names the key and the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from megatron_speech.config.run.parallel import ParallelConfig

FULL = {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 2}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context_parallel_size": 0}, "parallel.context_parallel_size=0 must be at least 1"),
        ({"sequence_parallel": True}, "needs parallel.tensor_model_parallel_size above 1"),
        ({"overlap_param_gather": True}, "needs parallel.use_distributed_optimizer=true"),
        (
            {"overlap_param_gather": True, "use_distributed_optimizer": True, "overlap_grad_reduce": False},
            "parallel.overlap_grad_reduce=true",
        ),
        ({"recompute_granularity": "full"}, "full needs parallel.recompute_method; set it"),
        ({**FULL, "recompute_num_layers": None}, "full needs parallel.recompute_num_layers; set it"),
        ({**FULL, "recompute_num_layers": 0}, "parallel.recompute_num_layers=0 must be at least 1"),
        ({**FULL, "recompute_granularity": "selective"}, "uniform needs parallel.recompute_granularity=full"),
        ({"recompute_num_layers": 1}, "parallel.recompute_num_layers=1 needs parallel.recompute_granularity=full"),
        ({**FULL, "recompute_modules": ["mlp"]}, "needs parallel.recompute_granularity=selective"),
        ({"recompute_granularity": "selective", "recompute_modules": ["moe"]}, "must name some of core_attn, mlp"),
        ({"recompute_granularity": "selective", "recompute_modules": []}, "must name some of core_attn, mlp"),
    ],
)
def test_a_contradiction_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ParallelConfig(**settings)
    assert "\n" not in str(caught.value)


def test_what_goes_together_is_accepted() -> None:
    ParallelConfig(**FULL)
    ParallelConfig(recompute_granularity="selective", recompute_modules=["core_attn", "mlp"])
    ParallelConfig(use_distributed_optimizer=True, overlap_param_gather=True)
