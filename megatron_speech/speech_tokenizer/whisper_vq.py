"""A speech tokenizer based on Whisper: its encoder with a codebook gives codes, its decoder recognises text from them.

The codes of a clip depend on its batch by rounding only. States differ by about 1e-7, which changed none of 4,271 codes
but can decide a tie. A causal tokenizer encodes clip by clip, so its codes do not depend on the batch at all (unless
`masked`). Its blocks do not depend on later audio, and `streaming.StreamingEncoder` gives the same codes. The
recogniser sees codes only, so it also judges codes without audio (text-to-token output). Limitation: clips of at most
30 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from megatron_speech.audio.features import Features, torch_features
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.grouping import batches_by_length
from megatron_speech.progress import follow
from megatron_speech.speech_tokenizer.blockwise import encode_blockwise
from megatron_speech.speech_tokenizer.clips import checked_clips
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
"""Upper bound for speech; ends a decoder that loops."""


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
        """Function that computes log-mel frames."""
        self.masked = masked
        """Whether clips of a causal tokenizer are batched under a mask, which suits a GPU. Otherwise they are encoded
        block by block, which gives exactly the codes of a stream."""

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        device: torch.device | str = "cpu",
        features: Features = torch_features,
        masked: bool = False,
    ) -> WhisperVQTokenizer:
        """See `SpeechTokenizerKind`; reads config.json, model.safetensors and the text tokenizer.

        Raises FileNotFoundError for a missing file, ValueError for an unusable one.
        """
        model = load_model(folder)
        _require_codebook(model.config, folder)
        text = None if model.config.quantize_encoder_only else TextSide(folder, model.config.vocab_size)
        return cls(model.to(device), text, fingerprint_of(folder), features, masked=masked)

    @classmethod
    def read_facts(cls, folder: Path) -> SpeechTokenizerFacts:
        """Read the facts of the tokenizer in `folder`, without its weights. Raises as `load`."""
        config = load_config(folder)
        _require_codebook(config, folder)
        return facts_of(config, fingerprint_of(folder))

    @property
    def recognizer(self) -> WhisperVQTokenizer | None:
        """The tokenizer itself; None if its folder holds the encoder only."""
        return self if self.text is not None else None

    @property
    def language(self) -> str | None:
        """Language of the recogniser; None if the folder holds the encoder only."""
        return self.text.language if self.text is not None else None

    @property
    def max_codes(self) -> int:
        """Codes of the longest sequence that `recognize` accepts."""
        return self.facts.max_codes

    @property
    def codebook(self) -> torch.Tensor:
        """Code vectors, float32 [codebook_size, width]."""
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
        """See `SpeechTokenizer`; a batch holds `batch_seconds` of padded audio."""
        max_samples = self.facts.max_samples
        clips = checked_clips(waveforms, sample_rate=sample_rate, max_samples=max_samples, names=names)
        device = self.codebook.device
        # DALI takes clips from the host, and returns frames on the device of its operators.
        source = device if self.features is torch_features else torch.device("cpu")
        codes: list[np.ndarray] = [np.empty(0, np.int32)] * len(clips)
        for batch in batches_by_length([len(clip) for clip in clips], max_total=int(batch_seconds * SAMPLE_RATE)):
            mels = mel_batch([clips[index].to(source) for index in batch], self.model.config, self.features)
            mels = MelBatch(mels.mel_BMF.to(device), mels.frames_B.to(device), mels.spoken_B.to(device))
            for index, clip_codes in zip(batch, self.encode_batch(mels), strict=True):
                codes[index] = clip_codes.cpu().numpy().astype(np.int32)
        return codes

    def streaming(self) -> StreamingEncoder:
        """Start a stream, which gives the codes of `encode`. Raises as `StreamingEncoder`."""
        return StreamingEncoder(self.model, self.features)

    def encode_batch(self, mels: MelBatch) -> list[torch.Tensor]:
        """Codes int64 [T] of each clip of a batch; block by block if the encoder is causal and not `masked`."""
        if self.model.config.block_frames is not None and not self.masked:
            return encode_blockwise(self.model.encoder, mels)
        codes_BT, lengths_B = self.model.encoder.encode(mels)
        return [clip_codes[:length] for clip_codes, length in zip(codes_BT.cpu(), lengths_B.tolist(), strict=True)]

    @torch.no_grad()
    def recognize(self, codes: Sequence[np.ndarray], *, batch_codes: int = 4096) -> list[str]:
        """Recognise the text of each sequence of codes int [T], in order; empty codes give the empty text.

        Raises ValueError if the folder holds the encoder only, a code is outside the codebook, or a sequence is longer
        than `max_codes`.
        """
        if self.text is None:
            raise ValueError(
                "this speech tokenizer holds its encoder only (quantize_encoder_only): it cannot recognise; "
                "use the folder of the whole tokenizer"
            )
        # Check every sequence.
        last = self.facts.codebook_size - 1
        for index, clip in enumerate(codes):
            if len(clip) and not 0 <= int(np.min(clip)) <= int(np.max(clip)) <= last:
                raise ValueError(f"recognize: sequence {index} has a code outside 0..{last}; use its tokenizer")
            if len(clip) > self.max_codes:
                raise ValueError(
                    f"recognize: sequence {index} has {len(clip)} codes, the recogniser reads at most "
                    f"{self.max_codes}; cut it"
                )
        # Batches of similar length, without the empty sequences.
        spoken = [index for index, clip in enumerate(codes) if len(clip)]
        texts = [""] * len(codes)
        batches = batches_by_length([len(codes[index]) for index in spoken], max_total=batch_codes)
        for batch in follow(batches, "recognise codes", unit="batches", late=True):
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
    """Facts of a tokenizer with this configuration."""
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
        raise ValueError(
            f"{folder}: a Whisper model without codebook; train one with megatron-speech train_speech_tokenizer"
        )
