"""`Vocabulary`: one id space for text and speech. No other module knows an offset between the two.

    text ids | special ids | speech ids | padding
    0 ..       num_text      first_speech  size .. padded_size

Speech ids are contiguous. Special tokens and speech tokens that the text tokenizer already has keep their ids
(`mapped_ids`), and so their rows of a trained model. `speech_mask` and `text_mask` handle both cases.

The padded size is a multiple of a fixed number, not of the tensor parallel size, so one checkpoint fits every layout.
Shards, plans, checkpoints and exports store the fingerprint of their vocabulary; a mismatch is an error.

>>> vocabulary = Vocabulary(num_text_ids=257, num_speech_ids=512)
>>> vocabulary.first_speech_id, vocabulary.size, vocabulary.padded_size
(261, 773, 896)
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from megatron_speech.artifacts.plain_json import to_json

Modality = Literal["text", "speech"]

BEGIN_OF_AUDIO = "<|begin_of_audio|>"
END_OF_AUDIO = "<|end_of_audio|>"
RECOGNIZE = "<|recognize|>"
SYNTHESIZE = "<|synthesize|>"
SPECIAL_TOKENS = (BEGIN_OF_AUDIO, END_OF_AUDIO, RECOGNIZE, SYNTHESIZE)
FIRST_CODE = "<|audio_0|>"

# Special tokens of text-to-token models (text_to_token.prompts).
SOUNDS = "<|sounds|>"
_SPEAKER = "<|speaker:{}|>"


def speaker_token(name: str) -> str:
    """Special token that names the speaker."""
    return _SPEAKER.format(name)


_REQUIRED = ("num_text_ids", "num_speech_ids", "special_tokens", "fingerprint")
_TYPES: dict[str, type] = {
    **dict.fromkeys(("num_text_ids", "num_speech_ids", "end_of_document", "padding_multiple"), int),
    **dict.fromkeys(("text_fingerprint", "speech_fingerprint", "fingerprint"), str),
    **dict.fromkeys(("special_tokens", "begin_of_document"), list),
    "mapped_ids": dict,
}


def _require_fields(values: Any) -> None:
    """Raise ValueError unless `values` have the names and types of a vocabulary's fields."""
    if not isinstance(values, dict):
        raise ValueError("it is no JSON object")
    if lacking := [name for name in _REQUIRED if name not in values]:
        raise ValueError(f"it lacks {lacking[0]}")
    for name, value in values.items():
        if name not in _TYPES:
            raise ValueError(f"{name} is no field of a vocabulary; the file is of another version")
        if type(value) is not _TYPES[name]:
            raise ValueError(f"{name}={value!r:.40} is no {_TYPES[name].__name__}")


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Sizes, special tokens and fingerprints that fix the meaning of every id."""

    num_text_ids: int
    """Number of ids of the text tokenizer, including its own special ids; 0 for bare speech codes."""
    num_speech_ids: int
    """Codebook size of the speech tokenizer; 0 for text only."""
    special_tokens: tuple[str, ...] = SPECIAL_TOKENS
    """Special tokens of this project. Those that the text tokenizer lacks follow its ids, in this order."""
    end_of_document: int = 0
    """Text id that closes every document."""
    begin_of_document: tuple[int, ...] = ()
    """Text ids that begin every document, as in the training of the base model; code that lays out documents or
    prompts inserts them."""
    text_fingerprint: str = ""
    """sha256 of the text tokenizer's files."""
    speech_fingerprint: str = ""
    """sha256 of the speech tokenizer's weights."""
    padding_multiple: int = 128
    """`padded_size` is a multiple of this; every tensor parallel size in use must divide it."""
    mapped_ids: tuple[tuple[str, int], ...] = ()
    """Special tokens that the text tokenizer already has, and speech code 0 if it has all codes; with ids, in id order.
    """

    def __post_init__(self) -> None:
        if self.num_text_ids < 0 or self.num_speech_ids < 0 or self.size == 0:
            raise ValueError(
                f"vocabulary: num_text_ids={self.num_text_ids}, num_speech_ids={self.num_speech_ids}: "
                "both must be at least 0 and one above; check the tokenizers"
            )
        if len(set(self.special_tokens)) != len(self.special_tokens):
            raise ValueError(f"vocabulary: special_tokens={self.special_tokens} must not repeat")
        if any(not 0 <= each < self.num_text_ids or each == self.end_of_document for each in self.begin_of_document):
            raise ValueError(
                f"vocabulary: begin_of_document={self.begin_of_document} must be text ids below {self.num_text_ids}, "
                f"other than end_of_document={self.end_of_document}; build it again"
            )
        self._check_mapped_ids()

    def _check_mapped_ids(self) -> None:
        taken = [self._mapped[token] for token in self.special_tokens if token in self._mapped]
        taken += self.speech_ids if FIRST_CODE in self._mapped else []
        ours = set(self._mapped) <= {*self.special_tokens, FIRST_CODE} and len(self._mapped) == len(self.mapped_ids)
        if not ours or len(set(taken)) < len(taken) or not all(0 <= number < self.num_text_ids for number in taken):
            raise ValueError(
                f"vocabulary: mapped_ids={self._mapped} must be special tokens or {FIRST_CODE}, each with ids of its "
                f"own below num_text_ids={self.num_text_ids}; build the vocabulary again"
            )

    @classmethod
    def of_codes(cls, num_speech_ids: int, speech_fingerprint: str) -> Vocabulary:
        """Vocabulary of bare speech codes: no text, no special tokens, code k has id k."""
        return cls(
            num_text_ids=0,
            num_speech_ids=num_speech_ids,
            special_tokens=(),
            speech_fingerprint=speech_fingerprint,
            padding_multiple=1,
        )

    @cached_property
    def _mapped(self) -> dict[str, int]:
        return dict(self.mapped_ids)

    @cached_property
    def _new_specials(self) -> tuple[str, ...]:
        return tuple(token for token in self.special_tokens if token not in self._mapped)

    @property
    def token_ids(self) -> dict[str, int]:
        """Id of every special token and speech code, by name."""
        specials = {token: self.special_id(token) for token in self.special_tokens}
        return specials | {self.speech_token(code): number for code, number in enumerate(self.speech_ids)}

    @property
    def first_speech_id(self) -> int:
        """Id of speech code 0."""
        return self._mapped.get(FIRST_CODE, self.num_text_ids + len(self._new_specials))

    @property
    def speech_ids(self) -> range:
        """Ids of the speech codes, in order."""
        return range(self.first_speech_id, self.first_speech_id + self.num_speech_ids)

    @property
    def size(self) -> int:
        """Number of ids; padding starts here."""
        new_codes = 0 if FIRST_CODE in self._mapped else self.num_speech_ids
        return self.num_text_ids + len(self._new_specials) + new_codes

    @property
    def padded_size(self) -> int:
        """Rows of the embedding: `size` rounded up to `padding_multiple`."""
        return -(-self.size // self.padding_multiple) * self.padding_multiple

    def special_id(self, token: str) -> int:
        """Id of a special token. Asserts that the token exists."""
        assert token in self.special_tokens, f"{token=} is not among {self.special_tokens}"
        return self._mapped[token] if token in self._mapped else self.num_text_ids + self._new_specials.index(token)

    def speech_id(self, code: int) -> int:
        """Id of a speech code in 0 .. num_speech_ids - 1. For arrays, add `first_speech_id` instead."""
        assert 0 <= code < self.num_speech_ids, f"{code=} outside the codebook of {self.num_speech_ids}"
        return self.first_speech_id + code

    def speech_token(self, code: int) -> str:
        """Name of a speech code in an extended Hugging Face tokenizer, the same as in GLM-4-Voice."""
        return f"<|audio_{code}|>"

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names that have a speaker token, in the order of `special_tokens`; empty if there is none."""
        before, after = _SPEAKER.split("{}")
        return tuple(
            token.removeprefix(before).removesuffix(after) for token in self.special_tokens if token.startswith(before)
        )

    def speech_mask(self, ids: Any) -> Any:
        """Mask of the speech codes among `ids` (array or tensor of ids below `size`): bool, the shape of `ids`."""
        speech, mask = self.speech_ids, ids >= self.first_speech_id
        return mask if speech.stop == self.size else mask & (ids < speech.stop)  # one comparison if speech is last

    def text_mask(self, ids: Any) -> Any:
        """Mask of the text ids among `ids` (array or tensor), i.e. not speech and not in `special_tokens`."""
        mask = ids < self.num_text_ids
        for token, first in self.mapped_ids:
            count = self.num_speech_ids if token == FIRST_CODE else 1
            mask = mask & ((ids < first) | (ids >= first + count))
        return mask

    @property
    def fingerprint(self) -> str:
        """sha256 over all fields; equal if and only if every id has the same meaning."""
        return hashlib.sha256(json.dumps(self._fields(), sort_keys=True).encode()).hexdigest()

    def _fields(self) -> dict[str, Any]:
        """All fields as JSON types; begin_of_document and mapped_ids, which older vocabularies lack, only if set."""
        fields = {**asdict(self), "special_tokens": list(self.special_tokens)}
        begin, mapped = list(fields.pop("begin_of_document")), dict(fields.pop("mapped_ids"))
        fields |= {"begin_of_document": begin} if begin else {}
        return fields | ({"mapped_ids": mapped} if mapped else {})

    def to_json(self) -> dict[str, Any]:
        """All fields and the fingerprint, for manifests and checkpoints."""
        return {**self._fields(), "fingerprint": self.fingerprint}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Vocabulary:
        """Inverse of `to_json`; ValueError if a field is missing or has a wrong type, or the fingerprint differs."""
        _require_fields(values)
        fields = {key: value for key, value in values.items() if key != "fingerprint"}
        fields["special_tokens"] = tuple(fields["special_tokens"])
        fields["begin_of_document"] = tuple(fields.get("begin_of_document", ()))
        mapped = fields.get("mapped_ids", {}).items()
        try:
            # Sorted by id, because some JSON writers sort keys.
            vocabulary = cls(**{**fields, "mapped_ids": tuple(sorted(mapped, key=lambda each: each[1]))})
        except TypeError as error:
            raise ValueError("special_tokens, begin_of_document or mapped_ids has an entry of a wrong type") from error
        if values.get("fingerprint") != vocabulary.fingerprint:
            raise ValueError(
                "vocabulary: the stored fingerprint does not match its fields; the file was edited or damaged"
            )
        return vocabulary

    def save(self, path: Path) -> None:
        """Write the vocabulary to `path` as JSON."""
        path.write_text(to_json(self.to_json(), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read a ``vocabulary.json``, or the one in the folder `path`.

        Raises FileNotFoundError if it is missing, ValueError if it is damaged.
        """
        path = path / "vocabulary.json" if path.is_dir() else path
        if not path.is_file():
            raise FileNotFoundError(
                f"vocabulary file {path} does not exist; run megatron-speech build_vocabulary, or copy the one that "
                "its neighbours were made with"
            )
        try:
            return cls.from_json(json.loads(path.read_text()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: not a usable vocabulary ({error}); restore it or make it again") from error

    def require(self, fingerprint: str, *, holder: str) -> None:
        """Raise ValueError if `holder` (a shard, a checkpoint...) was made with another vocabulary."""
        if fingerprint != self.fingerprint:
            raise ValueError(
                f"{holder}: vocabulary fingerprint {fingerprint[:12]} is not this run's {self.fingerprint[:12]}; "
                "rebuild it with this run's tokenizers"
            )
