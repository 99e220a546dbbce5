"""Runs one training step on all ranks: gradients of the batch, an optimizer step, a codebook update.

Losses are sums. Ranks first count the text tokens and frames of the whole batch and divide losses by these numbers.
So gradients do not depend on micro-batches or ranks. DDP adds gradients during the backward pass.
`find_unused_parameters` keeps it from rearranging its buckets after the first step. A resumed run would otherwise add
in another order and differ in the last bit. The text embedding is frozen, because training it on a few hours of speech
could only lose words.

Cost: ranks synchronise for the counts, the gradients, the losses, the codebook, and the check for a stop signal.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist

from megatron_speech.config.stages.train_speech_tokenizer import TrainSpeechTokenizerConfig
from megatron_speech.speech_tokenizer.encoder import float32_convolutions
from megatron_speech.speech_tokenizer.model import SpeechRecognitionModel
from megatron_speech.speech_tokenizer.objective import (
    Losses,
    TextTargets,
    commitment_weight,
    num_targets,
)
from megatron_speech.speech_tokenizer.quantizer import EmaUpdate
from megatron_speech.speech_tokenizer.training.learning import Recognition, front_modules, parameter_groups
from megatron_speech.speech_tokenizer.training.reading import Clip, front_learns
from megatron_speech.speech_tokenizer.training.schedule import learning_rate
from megatron_speech.speech_training.feed import Clips, require_read
from megatron_speech.speech_training.step import descend, in_parallel, seed_dropout, synchronized


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Metrics of a step, over all ranks."""

    cross_entropy: float
    """Cross-entropy in nats per text token."""
    commitment: float
    """Mean squared distance of state and code vector, per element."""
    grad_norm: float
    """Gradient norm before clipping."""
    restarted: int
    """Number of restarted dead codes."""
    seconds: float
    """Seconds of speech in the batch."""


class Trainer:
    """Holds model, optimizer and codebook update, and runs steps; `step` counts the finished ones."""

    def __init__(
        self,
        model: SpeechRecognitionModel,
        targets: TextTargets,
        config: TrainSpeechTokenizerConfig,
        *,
        step: int = 0,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        """Set up training from step number `step`; `group` is the process group of the ranks, None for the default."""
        self._group = group
        self.model, self.targets, self.config, self.step = model, targets, config, step
        encoder = model.encoder
        # Trained weights and their optimizer.
        model.requires_grad_(True)
        for frozen in (encoder.embed_positions, encoder.codebook, model.decoder.embed_tokens):
            frozen.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(parameter_groups(model, config), lr=0.0, betas=(0.9, 0.98))
        # Codebook update.
        self.ema = EmaUpdate(
            encoder.codebook,
            encoder.ema_count,
            encoder.ema_weight,
            decay=config.bottleneck.ema_decay,
            restart_interval=config.bottleneck.restart_interval,
            seed=config.seed,
            num_updates=step,
            group=group,
        )
        # Layers that may be frozen, and the module for DDP.
        self._front = front_modules(model)
        self._recognition = Recognition(model, targets, config)
        self._thaw()

    @float32_convolutions()
    def advance(self, micros: list[Clips[Clip]], *, batch_size: int) -> StepResult:
        """Run a step on this rank's micro-batches of a batch of `batch_size` clips (on all ranks). Collective.

        Raises ValueError on all ranks if one could not read its clips, or the loss is not finite.
        """
        # Divisors of the losses: text tokens and frames of the whole batch.
        if self.step == self.config.unfreeze_at_step:
            self._thaw()
        tokens_C, frames_C, samples = self._counts(micros, batch_size)
        tokens, frames = int(tokens_C.sum()), int(frames_C.sum())
        # Gradients of all micro-batches; DDP adds over ranks in the last backward pass.
        seed_dropout(self.config.seed, self.step)
        sums = torch.zeros(2, dtype=torch.float64, device=tokens_C.device)
        done: list[Losses] = []
        for number, micro in enumerate(micros):
            last = number + 1 == len(micros)
            with synchronized(self._parallel, now=last):
                losses: Losses = self._parallel(micro.clips, self.step)
                loss = losses.cross_entropy / tokens + commitment_weight(self.model) * losses.commitment / frames
                # DDP averages over ranks, but the sum is needed.
                (loss * dist.get_world_size() * micro.counts).backward()
            if micro.counts:
                sums += torch.stack([losses.cross_entropy.detach(), losses.commitment.detach()]).double()
                done.append(losses)
        # Update weights and codebook.
        dist.all_reduce(sums, group=self._group)
        grad_norm = self.update()
        restarted = self.ema.step(*self._frames(done, micros, frames_C))
        result = StepResult(
            cross_entropy=float(sums[0]) / tokens,
            commitment=float(sums[1]) / frames,
            grad_norm=grad_norm,
            restarted=restarted,
            seconds=samples / self.model.config.rates.sample_rate,
        )
        if not torch.isfinite(sums).all() or not torch.tensor(grad_norm).isfinite():
            raise ValueError(f"step {self.step}: the loss is {result}; lower learning_rate={self.config.learning_rate}")
        self.step += 1
        return result

    def _thaw(self) -> None:
        """Set which layers are trained at this step, and wrap the model in DDP; frozen layers have no dropout."""
        learns = front_learns(self.config, self.step)
        self._front.requires_grad_(learns)
        self.train()
        self._parallel = in_parallel(self._recognition, self._group)

    def train(self) -> None:
        """Switch to training mode, except for frozen layers, which have no dropout."""
        self.model.train()
        self._front.train(front_learns(self.config, self.step))

    def _counts(self, micros: list[Clips[Clip]], batch_size: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Numbers of text tokens and frames of each clip of the whole batch [clips], and the number of samples."""
        device = self.model.encoder.codebook.weight.device
        counts = torch.zeros(2 * batch_size + 1, dtype=torch.int64)
        counts[-1] = any(micro.failed is not None for micro in micros)
        rates = self.model.config.rates
        for clip in (clip for micro in micros if micro.counts for clip in micro.clips):
            counts[clip.place] = num_targets(clip.transcript)
            counts[batch_size + clip.place] = clip.num_frames(rates)
        counts = counts.to(device)
        dist.all_reduce(counts, group=self._group)
        require_read(self.step, micros, failed_anywhere=bool(counts[-1]))
        frames_C = counts[batch_size:-1]
        return counts[:batch_size], frames_C, int(frames_C.sum()) * rates.samples_per_token

    def _frames(
        self, done: list[Losses], micros: list[Clips[Clip]], frames_C: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """States of this rank [N, D], their codes [N] and their numbers among all frames of the batch [N]."""
        device = frames_C.device
        starts_C, frames = frames_C.cumsum(0) - frames_C, frames_C.tolist()
        places = [clip.place for micro in micros if micro.counts for clip in micro.clips]
        numbers = [torch.arange(frames[place], device=device) + starts_C[place] for place in places]
        none = torch.zeros(0, dtype=torch.long, device=device)
        vectors = [torch.zeros(0, self.model.config.d_model, device=device), *(losses.vectors_ND for losses in done)]
        vectors_ND, numbers_N = torch.cat(vectors), torch.cat([none, *numbers])
        assert len(vectors_ND) == len(numbers_N), f"{len(vectors_ND)} frames, {len(numbers_N)} were counted"
        return vectors_ND, torch.cat([none, *(losses.codes_N for losses in done)]), numbers_N

    def update(self) -> float:
        """Clip gradients, run the optimizer, clear gradients; returns the gradient norm before clipping."""
        rate = learning_rate(self.step, self.config)
        return descend(self.optimizer, learning_rate=rate, clipping=self.config.gradient_clipping, of=self.model)
