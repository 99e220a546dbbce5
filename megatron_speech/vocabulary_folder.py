"""Make the vocabulary folder of a model: one id space, and a Hugging Face tokenizer that agrees with it id by id."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from megatron_speech.artifact import is_made, make_artifact, read_manifest
from megatron_speech.config.tokens import VocabularyConfig
from megatron_speech.text_tokenizer import TextTokenizer, save_tokenizer
from megatron_speech.vocabulary import SOUNDS, SPECIAL_TOKENS, Vocabulary, speaker_token

log = logging.getLogger(__name__)


def build_vocabulary(config: VocabularyConfig) -> None:
    """Write ``vocabulary.json``, the extended ``tokenizer.json`` and its configuration to `config.output`."""
    inputs = _inputs(config)
    if is_made(config.output, kind="vocabulary", config=config, inputs=inputs):
        log.info("%s is already made", config.output)
        return
    text = TextTokenizer.load(
        config.text, end_of_document=config.end_of_document, begin_of_document=config.begin_of_document
    )
    num_codes, speech_fingerprint = _speech(config)
    vocabulary = Vocabulary(
        num_text_ids=text.size,
        num_speech_ids=num_codes,
        special_tokens=_special_tokens(config),
        end_of_document=text.end_of_document,
        begin_of_document=text.begin_of_document,
        text_fingerprint=text.fingerprint,
        speech_fingerprint=speech_fingerprint,
        padding_multiple=config.padding_multiple,
    )
    codes = [vocabulary.speech_token(code) for code in range(num_codes)]
    tokenizer = text.extended([*vocabulary.special_tokens, *codes])
    with make_artifact(config.output, kind="vocabulary", config=config, inputs=inputs) as draft:
        vocabulary.save(draft.folder / "vocabulary.json")
        save_tokenizer(draft.folder, tokenizer, end_of_document=vocabulary.end_of_document)
        draft.facts.update(
            text_ids=vocabulary.num_text_ids,
            speech_ids=vocabulary.num_speech_ids,
            size=vocabulary.size,
            padded_size=vocabulary.padded_size,
            fingerprint=vocabulary.fingerprint,
        )
    log.info("%s: %s ids, %s with padding", config.output, f"{vocabulary.size:,}", f"{vocabulary.padded_size:,}")


def _inputs(config: VocabularyConfig) -> list[Path]:
    """What the folder is made from: the text tokenizer's file, the speech tokenizer's folder."""
    inputs = [config.speech_tokenizer] if config.speech_tokenizer else []
    if config.text != "bytes":
        path = Path(config.text)
        inputs += [file for file in (path / "tokenizer.json", path) if file.is_file()][:1]
    return inputs


def _special_tokens(config: VocabularyConfig) -> tuple[str, ...]:
    """The tasks' tokens, then what a text-to-token model is told beside the text."""
    spelling = (SOUNDS,) if config.spelling == "sounds" else ()
    return (*SPECIAL_TOKENS, *spelling, *(speaker_token(name) for name in config.speakers))


def _speech(config: VocabularyConfig) -> tuple[int, str]:
    """Codebook size and fingerprint of the speech tokenizer."""
    if config.speech_tokenizer is None:
        return config.codebook_size or 0, config.speech_fingerprint
    facts: dict[str, Any] = read_manifest(config.speech_tokenizer)["facts"]
    missing = [key for key in ("codebook_size", "fingerprint") if key not in facts]
    if missing:
        raise ValueError(
            f"{config.speech_tokenizer}/manifest.json: facts lack {missing}; "
            "point speech_tokenizer at a speech tokenizer folder"
        )
    return facts["codebook_size"], facts["fingerprint"]
