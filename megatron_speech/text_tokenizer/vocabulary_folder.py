"""Make the vocabulary folder of a model: ``vocabulary.json``, and a Hugging Face tokenizer with the same ids.

The text tokenizer may already have speech or special tokens, because it comes from an export of this project or from
another audio model. Such tokens keep their ids, and with them their trained rows of the embedding.

``tokenizer_config.json`` and the ``config.json`` of an export also store the vocabulary. They survive other tools
(fine-tuning, merging), which drop ``vocabulary.json``.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.speech_tokenizer import SpeechTokenizerIdentity
from megatron_speech.artifacts.facts.vocabulary import NamedTokenizerFacts, VocabularyFacts
from megatron_speech.artifacts.files import read_json
from megatron_speech.artifacts.manifest import is_made, make_artifact, read_facts
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.text_tokenizer.base_files import carry, copied_files, folder_of, tokenizer_config, tokenizer_files
from megatron_speech.text_tokenizer.text_loss import loss_in_words, probe, require_little_lost
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer, read_tokenizer, save_tokenizer
from megatron_speech.text_tokenizer.vocabulary_files import file_checksums
from megatron_speech.vocabulary import FIRST_CODE, SOUNDS, SPECIAL_TOKENS, Vocabulary, speaker_token

logger = logging.getLogger(__name__)

KEPT = "speech_vocabulary"
"""Key in tokenizer_config.json and config.json that stores the vocabulary."""
_KEEPERS = ("vocabulary.json", "tokenizer_config.json", "config.json")
_PADDING_MULTIPLE = 128
_CODE = re.compile(r"<\|audio_(0|[1-9]\d*)\|>")


def build_vocabulary(config: BuildVocabularyConfig) -> None:
    """Write ``vocabulary.json``, the extended ``tokenizer.json`` and its configuration to `config.output`.

    Raises ValueError if the text tokenizer loses too much text or does not fit the vocabulary that is asked for.
    """
    inputs = _inputs(config)
    identity = {key: value for key, value in to_dict(config).items() if key != "max_lost_share"}
    if is_made(config.output, kind="vocabulary", config=identity, inputs=inputs):
        logger.info("%s is already made", config.output)
        return
    # Choose the vocabulary: new, or that of an earlier export.
    kept = None if config.text == "bytes" else kept_vocabulary(Path(config.text))
    vocabulary, text = _new(config) if kept is None else _again(config, kept)
    loss = probe(text)
    require_little_lost(loss, config.max_lost_share, holder=f"text={config.text}, on texts in many scripts")
    # Extend the tokenizer and write the folder.
    tokenizer = text.extended(vocabulary)
    with make_artifact(config.output, kind="vocabulary", config=identity, inputs=inputs) as draft:
        vocabulary.save(draft.folder / "vocabulary.json")
        more = {**tokenizer_config(config.text, tokenizer), KEPT: vocabulary.to_json()}
        save_tokenizer(draft.folder, tokenizer, end_of_document=vocabulary.end_of_document, more=more)
        carry(config.text, draft.folder, vocabulary)
        draft.facts = VocabularyFacts(
            text_tokenizer=Path(config.text).name,
            speech_tokenizer=_speech_facts(config),
            text_ids=vocabulary.num_text_ids,
            speech_ids=vocabulary.num_speech_ids,
            mapped_ids=dict(vocabulary.mapped_ids),
            size=vocabulary.size,
            padded_size=vocabulary.padded_size,
            fingerprint=vocabulary.fingerprint,
            probe=loss,
            files=file_checksums(draft.folder),
        )
    if lost := loss_in_words(loss):
        logger.warning("text=%s: on texts in many scripts, %s", config.text, lost)
    logger.info("%s: %s ids, %s with padding", config.output, f"{vocabulary.size:,}", f"{vocabulary.padded_size:,}")


def kept_vocabulary(folder: Path) -> Vocabulary | None:
    """Vocabulary stored in `folder`, an export of this project; None for any other folder or file.

    Raises ValueError if its files store different vocabularies, which means that they are from two models.
    """
    found = {name: vocabulary for name in _KEEPERS if (vocabulary := _kept_in(folder / name)) is not None}
    for name, vocabulary in found.items():
        first = next(iter(found))
        if vocabulary != found[first]:
            raise ValueError(
                f"{folder}: {first} and {name} store different vocabularies, {found[first].fingerprint[:12]} and "
                f"{vocabulary.fingerprint[:12]}; use tokenizer and config.json of the same export"
            )
    return next(iter(found.values()), None)


def _kept_in(path: Path) -> Vocabulary | None:
    if not path.is_file():
        return None
    if path.name == "vocabulary.json":
        return Vocabulary.load(path)
    content = read_json(path)
    if not isinstance(content, dict) or KEPT not in content:
        return None
    try:
        return Vocabulary.from_json(content[KEPT])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {KEPT} is no usable vocabulary ({error}); restore the export's own file") from error


def _new(config: BuildVocabularyConfig) -> tuple[Vocabulary, TextTokenizer]:
    """Make the vocabulary of a text tokenizer that is not from an export of this project."""
    text = TextTokenizer.load(
        config.text, end_of_document=config.end_of_document, begin_of_document=config.begin_of_document
    )
    return _over(config, text, fingerprint="")


def _again(config: BuildVocabularyConfig, kept: Vocabulary) -> tuple[Vocabulary, TextTokenizer]:
    """The `kept` vocabulary of an export, or a new one if tokens were added since; all tokens keep their ids."""
    path = Path(config.text) / "tokenizer.json"
    names = read_tokenizer(path).id_to_token
    begin = config.begin_of_document
    text = TextTokenizer.load(
        path,
        end_of_document=config.end_of_document or names(kept.end_of_document),
        begin_of_document=[names(each) or "" for each in kept.begin_of_document] if begin is None else begin,
    )
    for token, place in kept.token_ids.items():
        if text.backend.token_to_id(token) != place:
            raise ValueError(
                f"{path}: token {token} has id {text.backend.token_to_id(token)}, but {place} in the vocabulary that "
                "the folder was made with; restore the export's own tokenizer, or, for a model without speech, remove "
                f"{KEPT} from its configuration"
            )
    num_codes, fingerprint = _speech(config)
    if num_codes and not kept.num_speech_ids:
        return _over(config, text, fingerprint=fingerprint)  # the export had no speech tokens
    _require_asked(config, kept, text)
    if text.size == kept.size:
        return kept, text
    logger.warning("%s has %d tokens more than its vocabulary: all keep their ids", config.text, text.size - kept.size)
    return _over(config, text, fingerprint=kept.speech_fingerprint)


def _require_asked(config: BuildVocabularyConfig, kept: Vocabulary, text: TextTokenizer) -> None:
    """Raise ValueError if the configuration asks for another vocabulary than `kept`; unset values are not compared."""
    num_codes, fingerprint = _speech(config)
    name = text.backend.id_to_token
    asked: dict[str, tuple[Any, Any]] = {
        "codebook_size": (kept.num_speech_ids, num_codes),
        "special tokens": (list(kept.special_tokens), list(_special_tokens(config))),
        "speech_fingerprint": (kept.speech_fingerprint, fingerprint or kept.speech_fingerprint),
        "padding_multiple": (kept.padding_multiple, config.padding_multiple or kept.padding_multiple),
        "end_of_document": (name(kept.end_of_document), name(text.end_of_document)),
        "begin_of_document": (list(map(name, kept.begin_of_document)), list(map(name, text.begin_of_document))),
    }
    for key, (before, now) in asked.items():
        if now != before:
            raise ValueError(
                f"{config.text} was made with {key}={before}, here {now} is asked for; ask for the same, or build from "
                "the text model that it came from"
            )


def _over(config: BuildVocabularyConfig, text: TextTokenizer, *, fingerprint: str) -> tuple[Vocabulary, TextTokenizer]:
    """A vocabulary over all tokens of a text tokenizer, with new ids for the special and speech tokens it lacks."""
    num_codes, given = _speech(config)
    specials = _special_tokens(config)
    vocabulary = Vocabulary(
        num_text_ids=text.size,
        num_speech_ids=num_codes,
        special_tokens=specials,
        end_of_document=text.end_of_document,
        begin_of_document=text.begin_of_document,
        text_fingerprint=text.fingerprint,
        speech_fingerprint=given or fingerprint,
        padding_multiple=config.padding_multiple or _PADDING_MULTIPLE,
        mapped_ids=_mapped_ids(config, text, specials, num_codes),
    )
    bounds = {text.end_of_document, *text.begin_of_document}
    if wrong := [token for token, place in vocabulary.token_ids.items() if place in bounds]:
        raise ValueError(
            f"text={config.text}: {wrong[0]} bounds documents but is also a speech or special token; set "
            "end_of_document and begin_of_document to tokens of the text"
        )
    if vocabulary.mapped_ids:
        logger.info("%s has speech or special tokens that keep their ids: %s", config.text, dict(vocabulary.mapped_ids))
    return vocabulary, text


def _mapped_ids(
    config: BuildVocabularyConfig, text: TextTokenizer, specials: tuple[str, ...], num_codes: int
) -> tuple[tuple[str, int], ...]:
    """Special and speech tokens that the tokenizer already has, with their ids.

    Raises ValueError if it has speech tokens, but not exactly those of the codebook with consecutive ids.
    """
    ids = text.backend.get_vocab(with_added_tokens=True)
    mapped = [(token, ids[token]) for token in specials if token in ids]
    codes = {int(match[1]): ids[token] for token in ids if (match := _CODE.fullmatch(token))}
    if not codes or not num_codes:
        return _by_id(mapped)
    if missing := [code for code in range(num_codes) if code not in codes]:
        raise ValueError(
            f"text={config.text} has {len(codes)} tokens <|audio_k|>, but no <|audio_{missing[0]}|> for a codebook of "
            f"{num_codes}; give the speech tokenizer of this model, or a text tokenizer without any of them"
        )
    if len(codes) > num_codes:
        raise ValueError(
            f"text={config.text} has {len(codes)} tokens <|audio_k|>, more than a codebook of {num_codes}; "
            "give the speech tokenizer of this model, or a text tokenizer without any of them"
        )
    if astray := [code for code in range(num_codes) if codes[code] != codes[0] + code]:
        raise ValueError(
            f"text={config.text}: <|audio_{astray[0]}|> has id {codes[astray[0]]}, {codes[0] + astray[0]} would follow "
            "its neighbours; speech tokens must have consecutive ids: use a text tokenizer without them"
        )
    return _by_id([*mapped, (FIRST_CODE, codes[0])])


def _by_id(mapped: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(mapped, key=lambda each: each[1]))


def _inputs(config: BuildVocabularyConfig) -> list[Path]:
    """Input files: the text tokenizer with the files next to it, and the speech tokenizer's folder."""
    inputs = [config.speech_tokenizer] if config.speech_tokenizer else []
    folder = folder_of(config.text)
    if folder is not None and folder.is_dir():
        own = [Path(config.text)] if Path(config.text).is_file() else []
        inputs += dict.fromkeys([*own, *tokenizer_files(folder), *copied_files(folder)])
    return inputs


def _special_tokens(config: BuildVocabularyConfig) -> tuple[str, ...]:
    """Tokens of the speech tasks, then those that condition a text-to-token model (spelling, speakers)."""
    spelling = (SOUNDS,) if config.spelling == "sounds" else ()
    return (*SPECIAL_TOKENS, *spelling, *(speaker_token(name) for name in config.speakers))


def _speech_facts(config: BuildVocabularyConfig) -> NamedTokenizerFacts:
    """Name, frame rate and codebook size of the speech tokenizer for model cards; empty without its folder."""
    if config.speech_tokenizer is None:
        return NamedTokenizerFacts()
    facts = read_facts(config.speech_tokenizer, SpeechTokenizerIdentity)
    name = config.speech_tokenizer.resolve().name
    return NamedTokenizerFacts(name=name, codebook_size=facts.codebook_size, frame_rate=facts.frame_rate)


def _speech(config: BuildVocabularyConfig) -> tuple[int, str]:
    """Codebook size and fingerprint of the speech tokenizer."""
    if config.speech_tokenizer is None:
        return config.codebook_size or 0, config.speech_fingerprint
    facts = read_facts(config.speech_tokenizer, SpeechTokenizerIdentity)
    return facts.codebook_size, facts.fingerprint
