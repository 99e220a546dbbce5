"""A speech tokenizer made of Whisper: its encoder with a codebook gives codes, its decoder reads them back to text.

Codes depend on nothing but their clip, up to rounding: in another batch a state differs by about 1e-7, which changed
none of 4,271 codes but can decide a tie. A causal tokenizer computes clip by clip, to the bit (unless under a mask);
the codes of a block depend on nothing behind it, and `streaming.StreamingEncoder` gives the same ones while the clip is
being spoken. The recogniser reads codes alone, which makes it the measure of what they carry, and the judge of codes
that no audio was made for (text-to-token output). Limitation: clips up to 30 s; longer speech is cut before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from megatron_speech.audio.features import Features, torch_features
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.speech_tokenizer.batching import batches_by_length, checked_clips
from megatron_speech.speech_tokenizer.blockwise import encode_blockwise
from megatron_speech.speech_tokenizer.config import WhisperVQConfig
from megatron_speech.speech_tokenizer.encoder import MelBatch, mel_batch
from megatron_speech.speech_tokenizer.folder import fingerprint_of
from megatron_speech.speech_tokenizer.interface import SpeechTokenizerFacts
from megatron_speech.speech_tokenizer.model import (
    SpeechRecognitionModel,
    TextSide,
    load_config,
    load_model,
    write_text,
)
from megatron_speech.speech_tokenizer.streaming import StreamingEncoder

MAX_TEXT_TOKENS_PER_SECOND = 10
"""Nobody speaks faster; a decoder caught in a loop stops here."""


class WhisperVQTokenizer:
    """A Whisper encoder with a codebook, and its decoder as the recogniser; `load` it from its folder."""

    def __init__(
        self,
        model: SpeechRecognitionModel,
        text: TextSide | None,
        fingerprint: str,
        features: Features = torch_features,
        *,
        masked: bool = False,
    ) -> None:
        self.model = model.eval()
        self.text = text
        self.facts = facts_of(model.config, fingerprint)
        self.features = features
        """What computes log-mel frames."""
        self.masked = masked
        """Whether clips of a causal tokenizer are encoded together under a mask, which keeps a GPU busy, and not block
        by block, which gives a stream's codes to the last near tie."""

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        device: torch.device | str = "cpu",
        features: Features = torch_features,
        masked: bool = False,
    ) -> WhisperVQTokenizer:
        """From `folder` (config.json, model.safetensors, text tokenizer); errors are one line."""
        model = load_model(folder)
        _require_codebook(model.config, folder)
        text = None if model.config.quantize_encoder_only else TextSide(folder, model.config.vocab_size)
        return cls(model.to(device), text, fingerprint_of(folder), features, masked=masked)

    @classmethod
    def read_facts(cls, folder: Path) -> SpeechTokenizerFacts:
        """Facts of the tokenizer in `folder`, without its weights; errors are one line."""
        config = load_config(folder)
        _require_codebook(config, folder)
        return facts_of(config, fingerprint_of(folder))

    @property
    def recognizer(self) -> WhisperVQTokenizer | None:
        """The tokenizer itself, if its folder holds the decoder and the text tokenizer."""
        return self if self.text is not None else None

    @property
    def language(self) -> str | None:
        """Language that the recogniser writes; None where it decides by itself."""
        return self.text.language if self.text is not None else None

    @property
    def max_codes(self) -> int:
        """Codes of the longest sequence that the recogniser reads."""
        return self.facts.max_codes

    @property
    def codebook(self) -> torch.Tensor:
        """Vectors of the codes, float32 [codebook_size, width]."""
        return self.model.encoder.codebook.weight

    @torch.no_grad()
    def encode(
        self,
        waveforms: Sequence[np.ndarray],
        *,
        sample_rate: int = SAMPLE_RATE,
        batch_seconds: float = 120.0,
        names: Sequence[str] | None = None,
    ) -> list[np.ndarray]:
        """Codes int32 [ceil(samples / samples per code)] of mono float waveforms, in their order.

        `batch_seconds` of padded audio are encoded at a time. ValueError names (by `names`) a clip that is empty, not
        finite, at another rate or too long.
        """
        max_samples = self.facts.max_samples
        clips = checked_clips(waveforms, sample_rate=sample_rate, max_samples=max_samples, names=names)
        device = self.codebook.device
        # DALI takes clips from the host and leaves frames where its operators are.
        source = device if self.features is torch_features else torch.device("cpu")
        codes: list[np.ndarray] = [np.empty(0, np.int32)] * len(clips)
        for batch in batches_by_length([len(clip) for clip in clips], max_total=int(batch_seconds * SAMPLE_RATE)):
            mels = mel_batch([clips[index].to(source) for index in batch], self.model.config, self.features)
            mels = MelBatch(mels.mel_BMF.to(device), mels.frames_B.to(device), mels.spoken_B.to(device))
            for index, clip_codes in zip(batch, self.encode_batch(mels), strict=True):
                codes[index] = clip_codes.cpu().numpy().astype(np.int32)
        return codes

    def streaming(self) -> StreamingEncoder:
        """A new stream, whose codes are those of `encode`; ValueError as of `StreamingEncoder`."""
        return StreamingEncoder(self.model, self.features)

    def encode_batch(self, mels: MelBatch) -> list[torch.Tensor]:
        """The codes of each clip of a batch, int64 [T], block by block where the encoder is causal in blocks."""
        if self.model.config.block_frames is not None and not self.masked:
            return encode_blockwise(self.model.encoder, mels)
        codes_BT, lengths_B = self.model.encoder.encode(mels)
        return [clip_codes[:length] for clip_codes, length in zip(codes_BT.cpu(), lengths_B.tolist(), strict=True)]

    @torch.no_grad()
    def recognize(self, codes: Sequence[np.ndarray], *, batch_codes: int = 4096) -> list[str]:
        """Texts that the recogniser reads in sequences of codes, in their order; empty codes give the empty text.

        ValueError if the folder holds no recogniser, a code lies outside the codebook, or a sequence is too long.
        """
        if self.text is None:
            raise ValueError(
                "this speech tokenizer holds its encoder only (quantize_encoder_only): it cannot recognise; "
                "use the folder it was cut from"
            )
        last = self.facts.codebook_size - 1
        for index, clip in enumerate(codes):
            if len(clip) and not 0 <= int(np.min(clip)) <= int(np.max(clip)) <= last:
                raise ValueError(f"recognize: sequence {index} has a code outside 0..{last}; use its tokenizer")
            if len(clip) > self.max_codes:
                raise ValueError(
                    f"recognize: sequence {index} has {len(clip)} codes, the recogniser reads at most "
                    f"{self.max_codes}; cut it"
                )
        spoken = [index for index, clip in enumerate(codes) if len(clip)]
        texts = [""] * len(codes)
        for batch in batches_by_length([len(codes[index]) for index in spoken], max_total=batch_codes):
            indices = [spoken[position] for position in batch]
            for index, text in zip(indices, self._recognize([codes[index] for index in indices]), strict=True):
                texts[index] = text
        return texts

    def _recognize(self, codes: list[np.ndarray]) -> list[str]:
        assert self.text is not None
        device = self.codebook.device
        rows = [torch.as_tensor(np.asarray(clip), dtype=torch.long, device=device) for clip in codes]
        codes_BT = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths_B = torch.tensor([len(row) for row in rows], device=device)
        memory_BTD = self.model.encoder.after_codebook(self.model.encoder.codebook(codes_BT), lengths_B)
        max_tokens = 8 + int(MAX_TEXT_TOKENS_PER_SECOND * codes_BT.shape[1] / self.facts.frame_rate)
        return write_text(self.model, self.text, memory_BTD, lengths_B, max_tokens=max_tokens)


def facts_of(config: WhisperVQConfig, fingerprint: str) -> SpeechTokenizerFacts:
    """Facts of a tokenizer of this shape."""
    assert config.quantize_vocab_size is not None, "a tokenizer has a codebook"
    return SpeechTokenizerFacts(
        sample_rate=config.rates.sample_rate,
        samples_per_code=config.rates.samples_per_token,
        codebook_size=config.quantize_vocab_size,
        max_codes=config.max_codes,
        causal=config.block_frames is not None,
        fingerprint=fingerprint,
    )


def _require_codebook(config: WhisperVQConfig, folder: Path) -> None:
    if config.quantize_vocab_size is None:
        raise ValueError(f"{folder}: a Whisper model without codebook; train one with tools/train_speech_tokenizer.py")
