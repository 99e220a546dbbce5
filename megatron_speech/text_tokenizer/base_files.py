"""Copy chat templates, token roles, generation settings and licence files from the text tokenizer's folder.

These files belong to a model but are not part of its weights. The vocabulary folder keeps them, because it accompanies
the model; an export takes them from there. Ids in them stay valid, because text tokens keep their ids.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from tokenizers import Tokenizer

from megatron_speech.artifacts.facts.checkpoint import BaseFacts
from megatron_speech.artifacts.files import read_json, write_atomic
from megatron_speech.artifacts.manifest import MANIFEST, read_manifest
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

GENERATION = "generation_config.json"
CARD = "README.md"
_COPIED = re.compile(
    r"chat_template\..*|additional_chat_templates/.*\.jinja|(?i:licen[cs]e|notice|copying|(acceptable_)?use_policy)([._-].*)?"
)
"""Files that are copied unchanged, by their path in the folder."""
_TOKENIZER = (
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *(GENERATION, "config.json", "vocabulary.json"),
)
_SPECIAL_TOKENS = "special_tokens_map.json"
_ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
_LISTS = ("additional_special_tokens", "extra_special_tokens")
_CARD_KEYS = ("license", "license_name", "license_link", "language", "base_model")
# Dropped because tokenizer.json has the tokens; the other keys name code or paths of another machine.
_DROPPED = (
    *("added_tokens_decoder", "auto_map", "tokenizer_file", "vocab_file", "special_tokens_map_file"),
    *("name_or_path", "is_local", "local_files_only"),
)


def folder_of(text: str) -> Path | None:
    """The folder of a text tokenizer; None for plain bytes."""
    path = Path(text)
    return None if text == "bytes" else path if path.is_dir() else path.parent


def tokenizer_config(text: str, tokenizer: Tokenizer) -> dict[str, Any]:
    """Keys of the text tokenizer's tokenizer_config.json that are valid for the extended `tokenizer`.

    Token roles from special_tokens_map.json are included. Raises ValueError if a file gives a token another id than
    `tokenizer`.
    """
    folder = folder_of(text)
    if folder is None:
        return {}
    config: dict[str, Any] = {}
    for name in (_SPECIAL_TOKENS, "tokenizer_config.json"):
        config |= _object(folder / name) if (folder / name).is_file() else {}
    for token, place in _added_tokens(folder, config):
        if tokenizer.token_to_id(token) != place:
            raise ValueError(
                f"{folder}: its added token {token} has id {place}, but {tokenizer.token_to_id(token)} in "
                "tokenizer.json; save it with AutoTokenizer.from_pretrained(...).save_pretrained(...)"
            )
    kept = {key: value for key, value in config.items() if key not in _DROPPED}
    if "auto_map" in config or not (folder / "tokenizer.json").is_file():  # custom code, or a class for another file
        kept.pop("tokenizer_class", None)
    if kept.get("eos_token") is None:
        kept.pop("eos_token", None)
    return _without_unknown_tokens(kept, tokenizer, folder)


def _without_unknown_tokens(config: dict[str, Any], tokenizer: Tokenizer, folder: Path) -> dict[str, Any]:
    """`config` without roles of tokens that do not exist, because transformers would give these new ids."""

    def known(role: str, token: Any) -> bool:
        if token is None or (isinstance(token, str) and tokenizer.token_to_id(token) is not None):
            return True
        logger.warning("%s: %s=%s is no token of tokenizer.json and is left out", folder, role, token)
        return False

    names = {key: _token_names(value) if key in (*_ROLES, *_LISTS) else value for key, value in config.items()}
    kept = {key: value for key, value in names.items() if key not in _ROLES or known(key, value)}
    for role in _LISTS:
        if isinstance(tokens := kept.get(role), dict):  # from attribute to token
            kept[role] = {name: token for name, token in tokens.items() if known(role, token)}
        elif isinstance(tokens, list):
            kept[role] = [token for token in tokens if known(role, token)]
    return kept


def _token_names(value: Any) -> Any:
    """Replace token objects by their text; tokenizer.json says how each token is matched."""
    if isinstance(value, list):
        return [_token_names(each) for each in value]
    if isinstance(value, dict):
        return value["content"] if "content" in value else {key: _token_names(each) for key, each in value.items()}
    return value


def _added_tokens(folder: Path, config: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Tokens and ids named by files other than tokenizer.json."""
    decoder = config.get("added_tokens_decoder")
    for place, token in decoder.items() if isinstance(decoder, dict) else ():
        if isinstance(token, dict) and isinstance(token.get("content"), str) and str(place).isdigit():
            yield token["content"], int(place)
    if (folder / "added_tokens.json").is_file():
        yield from _object(folder / "added_tokens.json").items()


def carry(text: str, output: Path, vocabulary: Vocabulary) -> None:
    """Copy chat templates, licence files and generation settings of the text tokenizer `text` to `output`."""
    folder = folder_of(text)
    if folder is None:
        return
    copy_files(folder, output)
    if settings := generation_settings(folder):
        special_ids(settings, vocabulary)  # refuse bad ids now, not at the export after training
        write_atomic(output / GENERATION, to_json(settings, indent=2) + "\n")


def copy_files(folder: Path, output: Path) -> None:
    """Copy chat templates and licence files, keeping their paths in the folder."""
    for path in copied_files(folder):
        target = output / path.relative_to(folder)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)


def copied_files(folder: Path) -> list[Path]:
    """Chat templates and licence files of a folder."""
    found = sorted([*folder.iterdir(), *folder.glob("additional_chat_templates/*")])
    return [path for path in found if path.is_file() and _COPIED.fullmatch(path.relative_to(folder).as_posix())]


def tokenizer_files(folder: Path) -> list[Path]:
    """Files of a folder that define the meaning of ids: tokenizer, token roles, vocabulary."""
    return [path for name in _TOKENIZER if (path := folder / name).is_file()]


def generation_settings(folder: Path) -> dict[str, Any]:
    """Settings of generation_config.json; if it is missing, the ids in config.json, as in transformers.

    An id of -1 (used by old files for "none") is left out.
    """
    settings = _generation(folder)
    for key in (key for key in _IDS if key in settings):
        values = settings[key] if isinstance(settings[key], list) else [settings[key]]
        kept = [value for value in values if value != -1]
        if len(kept) < len(values):
            logger.warning("%s: %s=-1 is no id and is left out", folder, key)
            settings = {**settings, key: kept or None}
    return settings


def _generation(folder: Path) -> dict[str, Any]:
    if (path := folder / GENERATION).is_file():
        settings = _object(path)
        try:
            to_json(settings)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return settings
    if not (folder / "config.json").is_file():
        return {}
    config = _object(folder / "config.json")
    return {key: config[key] for key in _IDS if config.get(key) is not None}


def special_ids(generation: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """Ids of begin, end and padding for generation: those of the base model, plus the end of document as an end."""
    ends = generation.get("eos_token_id")
    ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
    begin, padding = (generation.get(key) for key in ("bos_token_id", "pad_token_id"))
    for place in (*ends, begin, padding):
        if place is not None and not (type(place) is int and 0 <= place < vocabulary.size):
            raise ValueError(
                f"{GENERATION}: id {place!r:.40} is none of the vocabulary's {vocabulary.size} ids; restore the text "
                "model's own file, or save the model with as many ids as it uses"
            )
    if vocabulary.end_of_document not in ends:
        ends = [*ends, vocabulary.end_of_document]
    return {
        "bos_token_id": begin,
        "eos_token_id": ends[0] if len(ends) == 1 else ends,
        "pad_token_id": vocabulary.end_of_document if padding is None else padding,
    }


def base_facts(folder: Path) -> BaseFacts:
    """Name, licence and languages of a base model, for the cards of models made from it.

    They come from its own card; `licences` come from its manifest if a stage of this project made the folder.
    """
    card = front_matter(folder / CARD)
    facts = {key: tuple(_names(card.get(key))) or None for key in _CARD_KEYS}
    licences = read_manifest(folder).licences if (folder / MANIFEST).is_file() else None
    return BaseFacts(name=folder.resolve().name, **facts, licences=licences or None)


def _names(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    values = ["no" if each is False else each for each in values]  # YAML reads `no` (Norwegian) as False
    return [each for each in values if isinstance(each, str)]


def front_matter(path: Path) -> dict[str, Any]:
    """YAML front matter (between two ``---`` lines) of a model card; empty if there is none or it is unreadable."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").lstrip("\ufeff").splitlines()
    if not lines or lines[0].strip() != "---" or "---" not in (ends := [line.strip() for line in lines[1:]]):
        return {}
    try:
        content = yaml.safe_load("\n".join(lines[1 : 1 + ends.index("---")]))
    except yaml.YAMLError as error:
        logger.warning(
            "%s: its front matter is no YAML (%s): it says nothing of a licence", path, " ".join(str(error).split())
        )
        return {}
    return content if isinstance(content, dict) else {}


def _object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object; restore the file")
    return content
