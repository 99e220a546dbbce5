"""The causal network from speech codes to mel frames: a prior, and a flow on what it leaves open."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from megatron_speech.config.stages.causal_decoder import FlowConfig, PriorConfig, SpeakingConfig
from megatron_speech.speech_decoder.flow import Condition, Solver, Velocity
from megatron_speech.speech_decoder.folder import (
    DecoderIdentity,
    load_weights,
    read_parts,
    require_codes,
    save_decoder,
)
from megatron_speech.speech_decoder.frame_clock import FrameClock
from megatron_speech.speech_decoder.mel import MelSettings
from megatron_speech.speech_decoder.prior import Predicted, Prior, PriorState

# Shape letters: B batch, N tokens, T mel frames, M mel bands, V channels of a voice.
VOICE_CHANNELS = 64
NAME = "causal"
"""Value of the key `decoder` in config.json."""


@dataclass(frozen=True, kw_only=True)
class CausalMelShape:
    """All that the tensors of a `CausalMel` and their meaning depend on; saved in config.json."""

    identity: DecoderIdentity
    mel: MelSettings
    voices: tuple[str, ...]
    """Names of the voices, which have a vector each."""
    prior: PriorConfig
    flow: FlowConfig | None = None
    """None for a prior alone."""
    steps: int = 0
    """Solver steps of the flow, where nothing else is said."""
    spans: bool = False
    """Whether the flow was trained to take long steps (distilled)."""

    @classmethod
    def from_json(cls, parts: dict[str, Any]) -> CausalMelShape:
        """Read what `asdict` and JSON have made."""
        return cls(
            identity=DecoderIdentity(**parts["identity"]),
            mel=MelSettings(**parts["mel"]),
            voices=tuple(parts["voices"]),
            prior=PriorConfig(**parts["prior"]),
            flow=None if parts["flow"] is None else FlowConfig(**parts["flow"]),
            steps=parts["steps"],
            spans=parts["spans"],
        )


class CausalMel(nn.Module):
    """Prior, flow and the statistics of mel frames."""

    mel_mean: Tensor
    mel_std: Tensor
    residual_std: Tensor

    def __init__(self, shape: CausalMelShape) -> None:
        super().__init__()
        self.shape = shape
        bands, identity, mel = shape.mel.num_mels, shape.identity, shape.mel
        # Row 0 stays zero: no voice in particular.
        self.voices = nn.Embedding(len(shape.voices) + 1, VOICE_CHANNELS, padding_idx=0)
        self.clock = FrameClock(token_rate=identity.frame_rate, sample_rate=mel.sample_rate, hop=mel.hop)
        self.prior = Prior(
            shape.prior,
            num_codes=identity.codebook_size,
            num_mels=bands,
            voice_channels=VOICE_CHANNELS,
            clock=self.clock,
        )
        self.flow: Velocity | None = None
        if shape.flow is not None:
            width = bands + shape.prior.frame_channels
            self.flow = Velocity(shape.flow, num_mels=bands, token_channels=width, voice_channels=VOICE_CHANNELS)
        # Of every band over the training speech: mean and deviation, and what of it the prior leaves open.
        self.register_buffer("mel_mean", torch.zeros(bands))
        self.register_buffer("mel_std", torch.ones(bands))
        self.register_buffer("residual_std", torch.ones(bands))

    def voice_number(self, name: str | None) -> int:
        """Row of a voice, 0 for None; ValueError for a voice that was not trained."""
        if name is None:
            return 0
        if name not in self.shape.voices:
            raise ValueError(f"voice={name} was not trained; use one of {', '.join(self.shape.voices)}, or null")
        return 1 + self.shape.voices.index(name)

    def condition(self, predicted: Predicted, voice_BV: Tensor) -> Condition:
        """What the flow of these frames depends on."""
        return Condition(tokens_BTC=torch.cat([predicted.mu_BTM, predicted.features_BTC], dim=-1), voice_BV=voice_BV)

    def stream(self, speaking: SpeakingConfig) -> MelStream:
        """Begin a stream; ValueError for a voice that was not trained, or steps without a flow."""
        return MelStream(self, speaking)

    def decode(self, codes: Tensor, speaking: SpeakingConfig) -> Tensor:
        """One utterance: codes [N] -> log-mel [T, M]. Raises ValueError for no codes or an unknown code."""
        if not codes.numel():
            raise ValueError("no codes: an utterance has one or more; drop empty utterances")
        stream = self.stream(speaking)
        return torch.cat([stream.push(codes), stream.finish()])

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors."""
        save_decoder(folder, {"decoder": NAME, **asdict(self.shape)}, self)

    @classmethod
    def load(cls, folder: Path) -> CausalMel:
        """Read what `save` wrote, in evaluation mode; FileNotFoundError if one of its files is missing."""
        net = cls(CausalMelShape.from_json(read_parts(folder)))
        load_weights(folder, net)
        return net.eval()


class MelStream:
    """The mel frames of one stream of codes."""

    def __init__(self, net: CausalMel, speaking: SpeakingConfig) -> None:
        self._net, self._prior = net, PriorState()
        row = torch.tensor([net.voice_number(speaking.voice)], device=net.mel_mean.device)
        self._voice_BV = net.voices(row).detach()
        steps = net.shape.steps if speaking.steps is None else speaking.steps
        if steps and net.flow is None:
            raise ValueError(f"steps={steps}: this speech decoder has a prior and no flow; use 0")
        self._solver = None
        if steps and net.flow is not None:
            self._solver = Solver(net.flow, speaking, steps=steps, spans=net.shape.spans)

    @property
    def held_bytes(self) -> int:
        """Bytes of the state between two pieces; they do not grow with the stream."""
        pasts = [self._prior.past, *(self._solver.pasts if self._solver else ())]
        return sum(past.held_bytes for past in pasts)

    @torch.inference_mode()
    def push(self, codes: Tensor) -> Tensor:
        """Continue the stream by codes [N]; returns the log-mel frames [T, M] that they complete. N may be 0.

        Raises ValueError for an unknown code; the stream is then unchanged.
        """
        require_codes(codes, self._net.shape.identity.codebook_size)
        if not len(codes):
            return self._mel(None)
        codes_BN = codes.long().to(self._net.mel_mean.device)[None]
        return self._mel(self._net.prior.push(codes_BN, self._voice_BV, self._prior))

    @torch.inference_mode()
    def finish(self) -> Tensor:
        """End the stream; returns its last frames [T, M]."""
        return self._mel(self._net.prior.finish(self._voice_BV, self._prior))

    def _mel(self, predicted: Predicted | None) -> Tensor:
        net = self._net
        if predicted is None:
            return net.mel_mean.new_zeros(0, net.shape.mel.num_mels)
        standard = predicted.mu_BTM
        if self._solver is not None:
            residual = self._solver.residual(net.condition(predicted, self._voice_BV))
            standard = standard + residual * (net.residual_std / net.mel_std)
        return (standard * net.mel_std + net.mel_mean)[0]
