"""Settings of the vocabulary, which joins a text tokenizer and a speech tokenizer in one id space."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.parsing.inputs import SpeechTokenizerFolder


@dataclass(frozen=True, kw_only=True)
class BuildVocabularyConfig:
    """Build one id space from a text tokenizer, task and audio special tokens, and a speech tokenizer's codes."""

    output: Path
    """Vocabulary folder to create, with vocabulary.json and an extended Hugging Face tokenizer."""
    text: str = "bytes"
    """'bytes', a Hugging Face folder with tokenizer.json, or a SentencePiece model file. Audio and task tokens that it
    already contains (such as an export of this project) keep their ids."""
    end_of_document: str | None = None
    """Text token that ends every document; null for the text tokenizer's end-of-sequence token."""
    begin_of_document: list[str] | None = None
    """Text tokens that begin every document, [] for none. Null uses those that the text tokenizer adds itself, as in
    the base model's training."""
    speech_tokenizer: SpeechTokenizerFolder | None = None
    """Speech tokenizer folder; its manifest gives codebook_size and fingerprint."""
    codebook_size: int | None = None
    """Number of speech ids, if there is no speech_tokenizer folder."""
    speech_fingerprint: str = ""
    """Fingerprint of the speech tokenizer, if there is no speech_tokenizer folder."""
    spelling: Literal["letters", "sounds"] = "letters"
    """Text form for a text-to-token model: letters, or sounds from an English pronouncing dictionary. A sound is one
    ASCII character, so keep text at 'bytes'. Use letters for any other model."""
    speakers: list[str] = field(default_factory=list)
    """Voices that a text-to-token model can be asked for, each a special token; empty for none."""
    max_lost_share: float = 0.1
    """Refuse a text tokenizer that loses more than this share of characters on texts in ten scripts (for example,
    without byte fallback). The manifest lists the losses. 1 accepts any."""
    padding_multiple: int | None = None
    """Multiple to which the rows of the embedding are padded; every tensor parallel size in use must divide it. Null:
    as in the vocabulary of an export given as text, else 128."""

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
