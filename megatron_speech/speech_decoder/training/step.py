"""Runs one training step of a causal decoder on all ranks: gradients of the batch, and an optimizer step.

Cost: ranks synchronise for the number of frames, the gradients, the loss, and the check for a stop signal.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist

from megatron_speech.config.stages.train_causal_decoder import TrainCausalDecoderConfig
from megatron_speech.schedules import rate_by_start
from megatron_speech.speech_decoder.causal_mel import CausalMel
from megatron_speech.speech_decoder.training.clips import Clip
from megatron_speech.speech_decoder.training.losses import ClipLoss, FlowLoss, PriorLoss, StudentLoss
from megatron_speech.speech_training.feed import Clips, require_read
from megatron_speech.speech_training.step import descend, in_parallel, seed_dropout, synchronized

LOSSES: dict[str, type[ClipLoss]] = {"prior": PriorLoss, "flow": FlowLoss, "student": StudentLoss}
"""The loss of each stage."""


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Metrics of a step, over all ranks."""

    loss: float
    """Mean loss of a value of the mel frames."""
    grad_norm: float
    """Gradient norm before clipping."""
    seconds: float
    """Seconds of speech in the batch."""


class Trainer:
    """Holds network and optimizer, and runs steps; `step` counts the finished ones."""

    def __init__(
        self,
        net: CausalMel,
        config: TrainCausalDecoderConfig,
        *,
        bfloat16: bool,
        step: int = 0,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        """Set up training from step number `step`; `group` is the process group of the ranks, None for the default."""
        self.net, self.config, self.step, self._group = net, config, step, group
        # The flow learns alone: the prior and the voices, which it reads, stay as they are.
        learning = net if config.stage == "prior" else net.flow
        assert learning is not None, "this stage has a flow"
        net.requires_grad_(False)
        learning.requires_grad_(True)
        self._learning = learning
        matrices = [each for each in learning.parameters() if each.ndim > 1]
        vectors = [each for each in learning.parameters() if each.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98))
        self._parallel = in_parallel(LOSSES[config.stage](net, config, bfloat16=bfloat16), group)
        self.train()

    def train(self) -> None:
        """Switch to training mode, except for a fixed prior, which has no dropout."""
        self.net.eval()
        self._learning.train()

    def advance(self, micros: list[Clips[Clip]]) -> StepResult:
        """Run a step on this rank's micro-batches. Collective.

        Raises ValueError on all ranks if one could not read its clips, or the loss is not finite.
        """
        frames = self._frames(micros)
        values = frames * self.net.shape.mel.num_mels
        seed_dropout(self.config.seed, self.step)
        total = torch.zeros((), dtype=torch.float64, device=self.net.mel_mean.device)
        for number, micro in enumerate(micros):
            with synchronized(self._parallel, now=number + 1 == len(micros)):
                loss = self._parallel(micro.clips)
                # DDP averages over ranks, but the sum is needed.
                (loss / values * dist.get_world_size() * micro.counts).backward()
            if micro.counts:
                total += loss.detach().double()
        dist.all_reduce(total, group=self._group)
        rate = rate_by_start(
            self.step,
            warmup=self.config.warmup_steps,
            total=self.config.steps,
            peak=self.config.learning_rate,
            last_share=0.0,
        )
        clipping = self.config.gradient_clipping
        grad_norm = descend(self.optimizer, learning_rate=rate, clipping=clipping, of=self._learning)
        result = StepResult(
            loss=float(total) / values, grad_norm=grad_norm, seconds=frames / self.net.shape.mel.frame_rate
        )
        if not torch.tensor([result.loss, grad_norm]).isfinite().all():
            raise ValueError(f"step {self.step}: the loss is {result}; lower learning_rate={self.config.learning_rate}")
        self.step += 1
        return result

    def _frames(self, micros: list[Clips[Clip]]) -> int:
        """Number of mel frames of the whole batch."""
        own = sum(len(clip.mel_TM) for micro in micros if micro.counts for clip in micro.clips)
        counts = torch.tensor([own, any(micro.failed is not None for micro in micros)], dtype=torch.int64)
        counts = counts.to(self.net.mel_mean.device)
        dist.all_reduce(counts, group=self._group)
        require_read(self.step, micros, failed_anywhere=bool(counts[1]))
        return int(counts[0])
