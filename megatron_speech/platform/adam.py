"""AdamW for machines without Transformer Engine: torch's fused CPU kernel, with the step in the parameter group.

The fused optimizers that megatron-core prefers keep one ``step`` per parameter group. `torch.optim.AdamW` keeps one per
parameter, which the distributed optimizer can neither save nor reshard. Updates equal those of `torch.optim.AdamW`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from megatron_speech.platform.private_names import fused_adam_kernel


class GroupStepAdam(torch.optim.Optimizer):
    """AdamW (Adam if `adam_w_mode=False`) with the arguments of the fused optimizers.

    Its state per parameter is `exp_avg` and `exp_avg_sq`, shaped like the parameter.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        adam_w_mode: bool = True,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.kernel = fused_adam_kernel(decoupled=adam_w_mode)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # as apex: no result
        """Update every parameter that has a gradient."""
        assert closure is None, "megatron-core never passes a closure"
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if params:
                group["step"] = group.get("step", 0) + 1
                self._update(group, params)

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        states = [self._state_of(param) for param in params]
        beta1, beta2 = group["betas"]
        self.kernel(
            params,
            [param.grad for param in params],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            # The kernel takes the step of each parameter as a tensor.
            [torch.tensor(float(group["step"])) for _ in params],
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
            grad_scale=None,
            found_inf=None,
        )

    def _state_of(self, param: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[param]
        if not state:
            state["exp_avg"] = torch.zeros_like(param)
            state["exp_avg_sq"] = torch.zeros_like(param)
        return state
