"""Settings of the vocabulary: a text tokenizer and a speech tokenizer in one id space."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds


@dataclass(frozen=True, kw_only=True)
class BuildVocabularyConfig:
    """One id space of a text tokenizer, the task and audio specials, and a speech tokenizer's codes."""

    output: Path
    """Vocabulary folder to make: vocabulary.json and an extended Hugging Face tokenizer."""
    text: str = "bytes"
    """'bytes', a Hugging Face folder with tokenizer.json, or a SentencePiece model file. Tokens of ours that it has
    (an export of this project, a model with tokens for audio) keep their ids."""
    end_of_document: str | None = None
    """Text token that closes every document; null for the text tokenizer's own end-of-sequence token."""
    begin_of_document: list[str] | None = None
    """Text tokens that begin every document; null for those that the text tokenizer itself puts before a text (as the
    base model was trained), [] for none."""
    speech_tokenizer: Path | None = None
    """Speech tokenizer folder, whose manifest states codebook_size and fingerprint."""
    codebook_size: int | None = None
    """Number of speech ids, where there is no speech_tokenizer folder."""
    speech_fingerprint: str = ""
    """Identity of the speech tokenizer, where there is no folder to ask."""
    spelling: Literal["letters", "sounds"] = "letters"
    """What a text-to-token model is to read: the letters of a text, or its sounds by an English pronouncing dictionary
    (one ASCII character each: keep text at 'bytes'). Letters for any other model."""
    speakers: list[str] = field(default_factory=list)
    """Voices that a text-to-token model is to tell apart, each with a special token; empty for none."""
    max_lost_share: float = 0.1
    """Refuse a text tokenizer that loses more than this share of the characters of texts in ten scripts (no bytes to
    fall back on, say); what it loses is in the manifest. 1 takes any."""
    padding_multiple: int | None = None
    """The embedding has a multiple of this many rows; every tensor parallel size in use must divide it. null: 128, or
    as in the vocabulary that an export given as text was made with."""

    def __post_init__(self) -> None:
        if (self.speech_tokenizer is None) == (self.codebook_size is None):
            raise ValueError(
                f"speech_tokenizer={self.speech_tokenizer} and codebook_size={self.codebook_size}: "
                "give exactly one of them (codebook_size=0 for text alone)"
            )
        require_bounds("codebook_size", self.codebook_size, 0, 1 << 20, "use 0 for text alone")
        if self.spelling == "sounds" and self.text != "bytes":
            raise ValueError(
                f"spelling=sounds writes one ASCII character per sound, for which text={self.text} has no use; "
                "set text: bytes, or spelling: letters"
            )
        require_bounds("max_lost_share", self.max_lost_share, 0, 1, "0.1 is usual")
        for name in self.speakers:
            if not re.fullmatch(r"[\w.-]+", name) or self.speakers.count(name) > 1:
                raise ValueError(
                    f"speakers={self.speakers}: {name!r} must be of letters, digits, '_', '.' and '-', and stand once; "
                    "rename it or leave it out"
                )
        require_bounds("padding_multiple", self.padding_multiple, 1, 1 << 20, "128 suits most layouts")
