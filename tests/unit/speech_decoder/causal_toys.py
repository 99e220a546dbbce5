"""Small causal decoders with random weights of the size that training gives."""

from __future__ import annotations

from dataclasses import replace

import torch

from megatron_speech.config.stages.causal_decoder import FlowConfig, PriorConfig
from megatron_speech.speech_decoder.causal_mel import CausalMel, CausalMelShape
from megatron_speech.speech_decoder.folder import DecoderIdentity
from megatron_speech.speech_decoder.mel import MelSettings

CODES = 64
SHAPE = CausalMelShape(
    identity=DecoderIdentity(codebook_size=CODES, frame_rate=12.5, speech_fingerprint="toy"),
    mel=MelSettings(),
    voices=("ada", "bo"),
    prior=PriorConfig(token_channels=24, token_layers=2, frame_channels=16, frame_layers=2),
    flow=FlowConfig(channels=24, layers=3),
    steps=2,
)


def toy_net(*, seed: int = 0, **changes: object) -> CausalMel:
    """A network in evaluation mode, whose layers all have an effect."""
    torch.manual_seed(seed)
    net = CausalMel(replace(SHAPE, **changes))
    net.mel_mean.fill_(-5.0)
    net.mel_std.copy_(torch.linspace(1.0, 2.0, 80))
    net.residual_std.copy_(torch.linspace(0.5, 1.0, 80))
    if net.flow is not None:
        torch.nn.init.normal_(net.flow.direction.weight, std=0.2)  # begins at zero
    return net.eval()
