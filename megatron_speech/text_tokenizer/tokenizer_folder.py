"""Find the special tokens of a tokenizer (end and beginning of documents) in the files of its folder.

Folders store them as texts or ids, alone or in lists, in files of the tokenizer or of the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from megatron_speech.artifacts.files import read_json

_FILES = ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "config.json")
"""Files that may name the end-of-sequence token, in order of priority."""


@dataclass(frozen=True)
class TokenizerFolder:
    """Configuration files in the folder of a tokenizer."""

    files: dict[str, dict[str, Any]]
    """Content of each existing file of `_FILES`, by name."""
    folder: Path

    @classmethod
    def read(cls, folder: Path) -> TokenizerFolder:
        """Read the files; raises ValueError if one does not hold a JSON object."""
        files = {}
        for name in _FILES:
            if not (path := folder / name).is_file():
                continue
            files[name] = read_json(path)
            if not isinstance(files[name], dict):
                raise ValueError(f"{path}: states no eos_token as tokenizers do, it is no object; restore the file")
        return cls(files, folder)

    def end_of_sequence(self, tokenizer: Tokenizer) -> str | None:
        """First token of `tokenizer` that a file names as end-of-sequence token, or None."""
        for name in self.files:
            for token in self._named(name, "eos", tokenizer):
                if tokenizer.token_to_id(token) is not None:
                    return token
        return None

    def looked_at(self) -> str:
        """Description of the searched files for error messages."""
        return f"{', '.join(self.files) or 'no file'} of {self.folder} ({', '.join(_FILES)} are looked at)"

    def beginning(self, tokenizer: Tokenizer) -> list[str]:
        """Tokens that `tokenizer` puts before every text, as in the training of its base model; often none.

        They are those of the post-processor. ``add_bos_token`` takes precedence: false means none; true adds the
        beginning-of-sequence token if the post-processor has none.
        """
        added = tokenizer.encode("a")
        own = [token for token, _ in zip(added.tokens, _leading(added.special_tokens_mask), strict=False)]
        asked = self.files.get("tokenizer_config.json", {}).get("add_bos_token")
        if asked is False:
            return []
        return own or (list(self._named("tokenizer_config.json", "bos", tokenizer))[:1] if asked else [])

    def special_tokens(self, tokenizer: Tokenizer) -> set[str]:
        """Tokens with a role (bos, eos, ...), which transformers treats as special regardless of tokenizer.json."""
        roles = ("bos", "eos", "unk", "pad", "sep", "cls", "mask", "additional_special")
        names = ("tokenizer_config.json", "special_tokens_map.json")
        return {token for name in names for role in roles for token in self._named(name, role, tokenizer)}

    def _named(self, name: str, role: str, tokenizer: Tokenizer) -> Iterator[str]:
        """Tokens of `role` in the file `name`, given there by text or by id."""
        content = self.files.get(name, {})
        parts = [content, content["text_config"]] if isinstance(content.get("text_config"), dict) else [content]
        for part in parts:
            for key in (f"{role}_token", f"{role}_tokens", f"{role}_token_id"):
                try:
                    yield from _tokens(part.get(key), tokenizer, ids=key.endswith("_id"))
                except TypeError as error:
                    raise ValueError(
                        f"{self.folder / name}: states no {key} as tokenizers do ({error}); restore the file"
                    ) from error


def _tokens(value: Any, tokenizer: Tokenizer, *, ids: bool) -> Iterator[str]:
    """Tokens in a value of a file: a text, {"content": text}, an id (if `ids`), or a list of these."""
    if isinstance(value, list):
        for each in value:
            yield from _tokens(each, tokenizer, ids=ids)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, dict) and isinstance(value.get("content"), str):
        yield value["content"]
    elif ids and isinstance(value, int) and not isinstance(value, bool):
        if (token := tokenizer.id_to_token(value) if value >= 0 else None) is not None:
            yield token
    elif value is not None:
        raise TypeError(f"{value!r:.40}")


def _leading(mask: list[int]) -> list[int]:
    """The leading ones of `mask`."""
    return mask[: mask.index(0)] if 0 in mask else []
