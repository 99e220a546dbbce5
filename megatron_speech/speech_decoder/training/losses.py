"""Losses of the stages, as sums over the values of all mel frames; the modules that DDP wraps.

The prior learns by L1 on mel frames and on their differences in time, in deviations of each band. The flow learns by
the squared error of its direction, at a random time between noise and residual.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from megatron_speech.config.stages.train_causal_decoder import TrainCausalDecoderConfig
from megatron_speech.speech_decoder.causal import Past
from megatron_speech.speech_decoder.causal_mel import CausalMel
from megatron_speech.speech_decoder.flow import Condition
from megatron_speech.speech_decoder.prior import Predicted
from megatron_speech.speech_decoder.training.clips import Clip

# Shape letters: B batch, N tokens, T mel frames, M mel bands, V channels of a voice.


class ClipLoss(nn.Module, ABC):
    """Computes the loss of clips; a subclass for each stage."""

    def __init__(self, net: CausalMel, config: TrainCausalDecoderConfig, *, bfloat16: bool) -> None:
        super().__init__()
        self.net, self.config, self._bfloat16 = net, config, bfloat16

    def forward(self, clips: list[Clip]) -> Tensor:
        """Sum of the losses of `clips` over mel frames and bands."""
        device = self.net.mel_mean.device
        mel = pad_sequence([clip.mel_TM.to(device) for clip in clips], batch_first=True)
        mask = pad_sequence([torch.ones(len(clip.mel_TM), 1, device=device) for clip in clips], batch_first=True)
        target = (mel - self.net.mel_mean) / self.net.mel_std * mask
        kept = [clip.voice if clip.draws[2] >= self.config.drop_voice else 0 for clip in clips]
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bfloat16):
            voice_BV = self.net.voices(torch.tensor(kept, device=device))
            return self.loss(clips, target, mask, voice_BV)

    @abstractmethod
    def loss(self, clips: list[Clip], target: Tensor, mask: Tensor, voice_BV: Tensor) -> Tensor:
        """The loss for standardised mel frames `target` [B, T, M], where `mask` [B, T, 1] is 1."""

    def predicted(self, clips: list[Clip], frames: int, voice_BV: Tensor) -> Predicted:
        """What the prior says about the first `frames` mel frames."""
        device = voice_BV.device
        codes = pad_sequence([clip.codes_N for clip in clips], batch_first=True).to(device)
        lengths = torch.tensor([len(clip.codes_N) for clip in clips], device=device)
        made = self.net.prior(codes, lengths, voice_BV)
        return Predicted(mu_BTM=made.mu_BTM[:, :frames].float(), features_BTC=made.features_BTC[:, :frames])


class PriorLoss(ClipLoss):
    """L1 of mel frames plus `delta_weight` times the L1 of their differences in time."""

    def loss(self, clips: list[Clip], target: Tensor, mask: Tensor, voice_BV: Tensor) -> Tensor:
        """See `ClipLoss.loss`."""
        error = (self.predicted(clips, target.shape[1], voice_BV).mu_BTM - target) * mask
        both = mask[:, 1:] * mask[:, :-1]
        return error.abs().sum() + self.config.delta_weight * (error.diff(dim=1) * both).abs().sum()


class FlowLoss(ClipLoss):
    """Squared error of the direction from noise to the residual that the fixed prior leaves."""

    def loss(self, clips: list[Clip], target: Tensor, mask: Tensor, voice_BV: Tensor) -> Tensor:
        """See `ClipLoss.loss`."""
        residual, noise, condition = self.way(clips, target, mask, voice_BV)
        return self.squared(mask.new_tensor([clip.draws[0] for clip in clips]), residual, noise, condition, mask)

    def way(
        self, clips: list[Clip], target: Tensor, mask: Tensor, voice_BV: Tensor
    ) -> tuple[Tensor, Tensor, Condition]:
        """Residual and noise of the clips [B, T, M], and what their flow depends on."""
        net = self.net
        with torch.no_grad():
            predicted = self.predicted(clips, target.shape[1], voice_BV)
            residual = (target - predicted.mu_BTM) * (net.mel_std / net.residual_std) * mask
            tokens_BTC = net.condition(predicted, voice_BV).tokens_BTC
        kept = mask.new_tensor([float(clip.draws[1] >= self.config.drop_tokens) for clip in clips])[:, None, None]
        noise = pad_sequence([clip.noise().to(mask.device) for clip in clips], batch_first=True)
        return residual, noise, Condition(tokens_BTC=tokens_BTC * kept, voice_BV=voice_BV)

    def squared(self, time_B: Tensor, residual: Tensor, noise: Tensor, condition: Condition, mask: Tensor) -> Tensor:
        """Sum of the squared errors of the flow's direction at `time_B`."""
        assert self.net.flow is not None, "this stage has a flow"
        point = between(noise, residual, time_B)
        direction = self.net.flow(point, time_B, torch.zeros_like(time_B), condition, Past())
        loss: Tensor = ((direction.float() - (residual - noise)).square() * mask).sum()
        return loss


class StudentLoss(FlowLoss):
    """Squared error of a mean direction over a long step: the one that a fixed teacher takes in many small steps.

    The steps are those of uniform schedules of 1, 2 and 4 steps, as often each.
    """

    def __init__(self, net: CausalMel, config: TrainCausalDecoderConfig, *, bfloat16: bool) -> None:
        super().__init__(net, config, bfloat16=bfloat16)
        assert config.start_from is not None, "a student has a teacher"
        teacher = CausalMel.load(config.start_from).flow
        assert teacher is not None, "a teacher has a flow"
        # In a list: it is no part of what is trained or saved.
        self._teacher = [teacher.to(net.mel_mean.device).requires_grad_(False)]

    def loss(self, clips: list[Clip], target: Tensor, mask: Tensor, voice_BV: Tensor) -> Tensor:
        """See `ClipLoss.loss`."""
        assert self.net.flow is not None, "this stage has a flow"
        residual, noise, condition = self.way(clips, target, mask, voice_BV)
        times, spans = zip(*(step_of(float(clip.draws[3])) for clip in clips), strict=True)
        time_B, span_B = mask.new_tensor(times), mask.new_tensor(spans)
        point = between(noise, residual, time_B)
        with torch.no_grad():
            goal = self._goal(point, time_B, span_B, condition)
        direction = self.net.flow(point, time_B, span_B, condition, Past())
        loss: Tensor = ((direction.float() - goal).square() * mask).sum()
        return loss

    def _goal(self, point: Tensor, time_B: Tensor, span_B: Tensor, condition: Condition) -> Tensor:
        """Mean direction of the teacher from `time_B` on, over `span_B`, in steps that are no longer than its own."""
        steps = max(1, round(self.config.teacher_steps * float(span_B.max())))
        x = point
        for step in range(steps):
            when = time_B + span_B * step / steps
            direction = self._teacher[0](x, when, torch.zeros_like(when), condition, Past()).float()
            x = x + (span_B / steps)[:, None, None] * direction
        return (x - point) / span_B[:, None, None]


def between(noise: Tensor, residual: Tensor, time_B: Tensor) -> Tensor:
    """The point of the straight way from noise to residual at `time_B`."""
    when = time_B[:, None, None]
    return (1 - when) * noise + when * residual


def step_of(drawn: float) -> tuple[float, float]:
    """Begin and length of a step of the student, from a number in [0, 1)."""
    which = drawn * 3
    steps = (1, 2, 4)[int(which)]
    return int((which - int(which)) * steps) / steps, 1 / steps
