"""The training loop of the speech tokenizer: which weights learn, from which clips, how fast, and the step itself.

The text embedding stays Whisper's: with a few hours of speech it could only forget words. Everything else behind the
pooling learns from the first step, what lies before it from `unfreeze_at_step`. Order is a function of the seed. Price:
one process; the codebook's update alone is ready for several.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from megatron_speech.config.speech_tokenizer import TrainSpeechTokenizerConfig
from megatron_speech.speech_tokenizer.batching import batches_by_length
from megatron_speech.speech_tokenizer.encoder import mel_batch
from megatron_speech.speech_tokenizer.model import SpeechRecognitionModel, TextSide
from megatron_speech.speech_tokenizer.objective import Losses, TextTargets, recognition_losses
from megatron_speech.speech_tokenizer.quantizer import EmaUpdate

FINAL_LR_SHARE = 0.05
"""Share of the peak learning rate that the cosine ends at."""
CURVE_POINTS = 100
"""Points of the loss curve kept in the manifest."""


@dataclass
class Clip:
    """One training utterance."""

    transcript: list[int]
    """Text ids."""
    states_TD: torch.Tensor
    """States after the pooling, float16, of the frozen front."""
    waveform: torch.Tensor | None = None
    """Samples, kept where the front is to be unfrozen."""


class Trainer:
    """Model, optimizer and codebook update, advanced one batch at a time."""

    def __init__(self, model: SpeechRecognitionModel, targets: TextTargets, config: TrainSpeechTokenizerConfig) -> None:
        self.model, self.targets, self.config = model, targets, config
        encoder = model.encoder
        model.requires_grad_(True)
        for frozen in (encoder.embed_positions, encoder.codebook, model.decoder.embed_tokens):
            frozen.requires_grad_(False)
        self.front = front_modules(model)
        self.front.requires_grad_(False)
        self.unfrozen = False
        self.optimizer = torch.optim.AdamW(self._groups(model), lr=0.0, betas=(0.9, 0.98))
        self.ema = EmaUpdate(
            encoder.codebook,
            encoder.ema_count,
            encoder.ema_weight,
            decay=config.bottleneck.ema_decay,
            restart_interval=config.bottleneck.restart_interval,
            seed=config.seed,
        )

    def step(self, step: int, clips: list[Clip]) -> Losses:
        """One optimizer step and one codebook update."""
        if step == self.config.unfreeze_at_step:
            self.front.requires_grad_(True)
            for group in self._groups(self.front):
                self.optimizer.add_param_group(group)
            self.unfrozen = True
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.config)
        pooled_BTD, lengths_B = self._pooled(clips)
        losses = recognition_losses(
            self.model,
            pooled_BTD,
            lengths_B,
            self.targets,
            [clip.transcript for clip in clips],
            label_smoothing=self.config.label_smoothing,
        )
        losses.total.backward()
        nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.requires_grad], 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.step(losses.vectors_ND, losses.codes_N)
        return losses

    def _pooled(self, clips: list[Clip]) -> tuple[torch.Tensor, torch.Tensor]:
        """States after the pooling [B, T, D] and their lengths: computed once and kept, or anew where they learn."""
        if not self.unfrozen:
            lengths_B = torch.tensor([len(clip.states_TD) for clip in clips])
            return pad_sequence([clip.states_TD.float() for clip in clips], batch_first=True), lengths_B
        waveforms = [clip.waveform for clip in clips if clip.waveform is not None]
        assert len(waveforms) == len(clips), "samples are kept where the front is to be unfrozen"
        return self.model.encoder.front(mel_batch(waveforms, self.model.config))

    def _groups(self, module: nn.Module) -> list[dict[str, Any]]:
        """Trainable matrices with weight decay; vectors and position tables without."""
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        decayed = [p for name, p in named if p.ndim > 1 and "embed" not in name]
        plain = [p for name, p in named if p.ndim <= 1 or "embed" in name]
        return [{"params": decayed, "weight_decay": self.config.weight_decay}, {"params": plain, "weight_decay": 0.0}]


def train(
    model: SpeechRecognitionModel, text: TextSide, clips: list[Clip], config: TrainSpeechTokenizerConfig
) -> dict[str, Any]:
    """Train for `config.steps`; returns facts for the manifest (loss curve, restarts, text ids in use)."""
    targets = TextTargets(text, [clip.transcript for clip in clips], model.config.vocab_size)
    trainer = Trainer(model, targets, config)
    curve: list[dict[str, float]] = []
    model.train()
    with tqdm(range(config.steps), desc="speech tokenizer", unit="step") as bar:
        for step, batch in zip(bar, endless_batches(clips, config), strict=False):
            losses = trainer.step(step, batch)
            point = {"cross_entropy": float(losses.cross_entropy), "commitment": float(losses.commitment)}
            if not math.isfinite(sum(point.values())):
                raise ValueError(f"step {step}: the loss is {point}; lower learning_rate={config.learning_rate}")
            curve.append(point)
            bar.set_postfix(loss=f"{point['cross_entropy']:.2f}", commit=f"{point['commitment']:.3f}")
    model.eval()
    return {
        "steps": config.steps,
        "epochs": round(config.steps / len(epoch_batches(clips, config, epoch=0)), 2),
        "text_ids_in_use": len(targets.ids_V),
        "codes_restarted": trainer.ema.num_restarted,
        "curve": means(curve),
    }


def front_modules(model: SpeechRecognitionModel) -> nn.ModuleList:
    """What comes before the pooling: the convolutions and the first layers."""
    encoder = model.encoder
    return nn.ModuleList([encoder.conv1, encoder.conv2, *encoder.layers[: encoder.pool_at]])


def learning_rate(step: int, config: TrainSpeechTokenizerConfig) -> float:
    """Linear warm-up, then a cosine from the peak to `FINAL_LR_SHARE` of it at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    share = FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * share


def endless_batches(clips: list[Clip], config: TrainSpeechTokenizerConfig) -> Iterator[list[Clip]]:
    """Batches of clips of similar length, epoch after epoch, each epoch in its own order."""
    epoch = 0
    while True:
        for batch in epoch_batches(clips, config, epoch=epoch):
            yield [clips[index] for index in batch]
        epoch += 1


def epoch_batches(clips: list[Clip], config: TrainSpeechTokenizerConfig, *, epoch: int) -> list[list[int]]:
    """One epoch's batches of clip indices: a pure function of the seed and the epoch."""
    generator = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
    order = torch.randperm(len(clips), generator=generator).tolist()
    max_frames = int(config.batch_seconds * config.bottleneck.frame_rate)
    batches: list[list[int]] = []
    # Sorting within stretches of a few batches keeps padding low and the composition of batches fresh.
    stretch = 400
    for start in range(0, len(order), stretch):
        part = order[start : start + stretch]
        lengths = [len(clips[index].states_TD) for index in part]
        batches += [[part[index] for index in batch] for batch in batches_by_length(lengths, max_total=max_frames)]
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[index] for index in shuffled]


def means(curve: list[dict[str, float]]) -> list[dict[str, float]]:
    """The loss curve as at most `CURVE_POINTS` means of consecutive steps, with the last step of each."""
    size = -(-len(curve) // CURVE_POINTS)
    parts = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [
        {
            "step": min(len(curve), (number + 1) * size),
            **{key: round(sum(p[key] for p in part) / len(part), 4) for key in part[0]},
        }
        for number, part in enumerate(parts)
    ]
