"""The module that computes losses from clips, which DDP wraps, and the optimizer's parameter groups."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from megatron_speech.config.stages.train_speech_tokenizer import TrainSpeechTokenizerConfig
from megatron_speech.speech_tokenizer.encoder import mel_batch
from megatron_speech.speech_tokenizer.model import SpeechRecognitionModel
from megatron_speech.speech_tokenizer.objective import Losses, TextTargets, recognition_losses
from megatron_speech.speech_tokenizer.training.augment import AugmentedFeatures, generator_of
from megatron_speech.speech_tokenizer.training.reading import Clip, front_learns


class Recognition(nn.Module):
    """Computes losses from clips; the module that DDP wraps."""

    def __init__(self, model: SpeechRecognitionModel, targets: TextTargets, config: TrainSpeechTokenizerConfig) -> None:
        super().__init__()
        self.model, self.targets, self.config = model, targets, config

    def forward(self, clips: list[Clip], step: int) -> Losses:
        """Losses of `clips`; `step` seeds their masks."""
        device = self.model.encoder.codebook.weight.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            pooled_BTD, lengths_B = self._pooled(clips, step, device)
            return recognition_losses(
                self.model,
                pooled_BTD,
                lengths_B,
                self.targets,
                [clip.transcript for clip in clips],
                label_smoothing=self.config.label_smoothing,
            )

    def _pooled(self, clips: list[Clip], step: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """States after pooling [B, T, D] and their lengths [B]; cached, or computed with masks."""
        states = [clip.states_TD for clip in clips if clip.states_TD is not None]
        if states:
            lengths_B = torch.tensor([len(each) for each in states], device=device)
            return pad_sequence([each.to(device).float() for each in states], batch_first=True), lengths_B
        waves = [clip.waveform_N.to(device) for clip in clips if clip.waveform_N is not None]
        # Masks have generators of their own: noise does not change them.
        generators = [generator_of(self.config.seed, step, 2 * clip.place + 1) for clip in clips]
        with torch.autocast(device.type, enabled=False):
            mels = mel_batch(waves, self.model.config, AugmentedFeatures(self.config.augment, generators))
        with torch.set_grad_enabled(front_learns(self.config, step)):
            return self.model.encoder.front(mels)


def front_modules(model: SpeechRecognitionModel) -> nn.ModuleList:
    """Modules before the pooling: the convolutions and the first layers."""
    encoder = model.encoder
    return nn.ModuleList([encoder.conv1, encoder.conv2, *encoder.layers[: encoder.pool_at]])


def parameter_groups(model: SpeechRecognitionModel, config: TrainSpeechTokenizerConfig) -> list[dict[str, Any]]:
    """Parameter groups of the optimizer: matrices with weight decay, vectors and embeddings without.

    Parameters before the codebook have groups of their own, with `scale` as the factor of the learning rate.
    """
    encoder = model.encoder
    early = nn.ModuleList([front_modules(model), *encoder.layers[encoder.pool_at : encoder.quantize_at]])
    before = {id(parameter) for parameter in early.parameters()}
    groups = []
    for scale, is_early in ((config.front_learning_rate_scale, True), (1.0, False)):
        for decay, is_matrix in ((config.weight_decay, True), (0.0, False)):
            chosen = [
                parameter
                for name, parameter in model.named_parameters()
                if parameter.requires_grad
                and (id(parameter) in before) == is_early
                and (parameter.ndim > 1 and "embed" not in name) == is_matrix
            ]
            groups.append({"params": chosen, "weight_decay": decay, "scale": scale})
    return groups
