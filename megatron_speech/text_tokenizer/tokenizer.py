"""`TextTokenizer`: encodes and decodes text with a tokenizer of any kind, through the library `tokenizers`.

A Hugging Face ``tokenizer.json``, a SentencePiece model (converted and checked against sentencepiece) or plain bytes
all become a `tokenizers.Tokenizer`. So each can be exported and extended by speech tokens.

Raw text is data. If a document contains the characters ``<|im_start|>`` or ``<|audio_5|>``, they are encoded as
characters, never as the special id. Added tokens that are content (runs of spaces, words of a domain) are encoded as
`tokenizers` does. Limitation: code that applies chat templates has to insert special ids itself.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.decoders import DecodeStream

from megatron_speech.artifacts.files import fingerprint_files
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.text_tokenizer.long_text import encode_long
from megatron_speech.text_tokenizer.raw_text import raw_text_encoder, with_special_tokens
from megatron_speech.text_tokenizer.tokenizer_folder import TokenizerFolder
from megatron_speech.text_tokenizer.vocabulary_files import require_whole
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

FILES = ("tokenizer.json", "tokenizer.model")
"""Tokenizer files of a folder, in order of priority."""
END_OF_TEXT = "<|endoftext|>"
"""End-of-document token of the byte tokenizer, named as in GPT-2."""


class TextTokenizer:
    """Encodes raw text to ids 0 .. size - 1, and decodes ids."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        size: int,
        end_of_document: int,
        fingerprint: str,
        begin_of_document: Sequence[int] = (),
    ) -> None:
        self.size = size
        """Number of text ids, including the tokenizer's own special ids."""
        self.end_of_document = end_of_document
        """Text id that closes a document; encoding raw text never gives it."""
        self.begin_of_document = tuple(begin_of_document)
        """Text ids that begin a document; most tokenizers have none."""
        self.fingerprint = fingerprint
        """Hash of the tokenizer's files."""
        self.backend = tokenizer
        """The tokenizer as exported; parses special tokens, so do not encode a corpus with it."""
        self.encoder, self.unknown = raw_text_encoder(tokenizer)

    @classmethod
    def load(
        cls, source: Path | str, *, end_of_document: str | None = None, begin_of_document: Sequence[str] | None = None
    ) -> TextTokenizer:
        """Load "bytes", a vocabulary folder, a Hugging Face folder, or a SentencePiece ``.model`` file.

        Args:
            end_of_document: text of the token that closes documents; None takes the end-of-sequence token of `source`.
            begin_of_document: texts of the tokens that begin documents; None takes those that the tokenizer of
                `source` puts before every text.

        Raises:
            FileNotFoundError: there is no tokenizer at `source`.
            ValueError: the tokenizer cannot be converted faithfully, lacks a named token, or has the same token for
                the beginning and the end of documents.
        """
        if str(source) == "bytes":
            fingerprint = hashlib.sha256(b"id b is byte b; 256 is <|endoftext|>").hexdigest()
            folder = TokenizerFolder({}, Path(source))
            return cls._of_source(
                _byte_tokenizer(), folder, [end_of_document or END_OF_TEXT], begin_of_document, fingerprint
            )
        # Find and read the tokenizer's file.
        place = Path(source)
        if place.is_dir() and (place / "vocabulary.json").is_file():
            return cls._of_vocabulary(place)
        path = place
        if place.is_dir():
            path = next((file for name in FILES if (file := place / name).is_file()), place)
        closing: str | None = None
        if path.suffix == ".json" and path.is_file():
            tokenizer = read_tokenizer(path)
        elif path.suffix == ".model" and path.is_file():
            from megatron_speech.text_tokenizer.sentencepiece_model import convert_sentencepiece

            tokenizer, closing = convert_sentencepiece(path)
        else:
            raise FileNotFoundError(
                f"text tokenizer {source}: no tokenizer.json and no .model file there; give one of those or 'bytes'"
            )
        # Find its special tokens.
        folder = TokenizerFolder.read(path.parent)
        ends = [end_of_document] if end_of_document else [closing, folder.end_of_sequence(tokenizer)]
        return cls._of_source(tokenizer, folder, ends, begin_of_document, fingerprint_files([path]))

    @classmethod
    def _of_source(
        cls,
        tokenizer: Tokenizer,
        folder: TokenizerFolder,
        ends: Sequence[str | None],
        begin: Sequence[str] | None,
        fingerprint: str,
    ) -> TextTokenizer:
        """Make a text tokenizer from a `tokenizers.Tokenizer` and the files of its folder.

        Args:
            ends: candidates for the token that closes documents, the best first; Nones are ignored.
            begin: tokens that begin documents; None takes those of the folder.
        """
        end = next((end for end in ends if end is not None), None)
        if end is None:
            raise ValueError(
                f"end_of_document: {folder.looked_at()} name no end-of-sequence token of the tokenizer; set "
                "end_of_document to a token that it has"
            )
        names = folder.beginning(tokenizer) if begin is None else list(begin)
        found = {token: tokenizer.token_to_id(token) for token in (end, *names)}
        ids = {token: number for token, number in found.items() if number is not None}
        if missing := [token for token in found if token not in ids]:
            key = "end_of_document" if missing[0] == end else "begin_of_document"
            raise ValueError(
                f"{key}={missing[0]!r} is no token of {folder.folder}; name one that it has, "
                f"with {key} of build_vocabulary"
            )
        if end in names:
            raise ValueError(
                f"begin_of_document: {folder.folder} begins texts with {end!r}, which also closes documents; set "
                "begin_of_document: [], or another end_of_document"
            )
        tokenizer = with_special_tokens(tokenizer, {end, *names} | folder.special_tokens(tokenizer))
        return cls(
            tokenizer,
            size=_size(tokenizer),
            end_of_document=ids[end],
            begin_of_document=[ids[name] for name in names],
            fingerprint=fingerprint,
        )

    @classmethod
    def _of_vocabulary(cls, folder: Path) -> TextTokenizer:
        """Load the text part of a vocabulary folder."""
        vocabulary, tokenizer = Vocabulary.load(folder), read_tokenizer(folder / "tokenizer.json")
        if _size(tokenizer) != vocabulary.size:
            raise ValueError(
                f"{folder}: tokenizer.json and vocabulary.json differ in size; rerun megatron-speech build_vocabulary"
            )
        require_whole(folder, "tokenizer.json")
        return cls(
            tokenizer,
            size=vocabulary.num_text_ids,
            end_of_document=vocabulary.end_of_document,
            begin_of_document=vocabulary.begin_of_document,
            fingerprint=vocabulary.text_fingerprint,
        )

    def encode(self, text: str) -> list[int]:
        """Ids of raw text; special tokens spelled out in it are encoded as characters."""
        return self.encoder.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Like `encode` for many texts, faster."""
        return [encoding.ids for encoding in self.encoder.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_long(self, text: str) -> NDArray[np.int32]:
        """Like `encode` for a long text; slower, but the memory besides the ids is constant."""
        return encode_long(self.encoder, text)

    def token_ends(self, text: str) -> list[int]:
        """End of every token of `encode(text)`, in characters; tokens within one character share its end."""
        offsets = self.encoder.encode(text, add_special_tokens=False).offsets
        return [end for _, end in offsets]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; special and speech tokens appear as their names."""
        return self.backend.decode(list(ids), skip_special_tokens=False)

    def decode_stream(self, ids: Iterable[int], *, after: Sequence[int] = ()) -> Iterator[str]:
        """Yield the text of `ids` in pieces of whole characters, as the ids arrive.

        `after` are the ids that come before; some tokenizers write a space only between two words.
        """
        stream = DecodeStream(list(after), False)
        for token in ids:
            if piece := stream.step(self.backend, token):
                yield piece

    def extended(self, vocabulary: Vocabulary) -> Tokenizer:
        """A copy of the backend with all speech and special tokens of `vocabulary`; new ones follow its ids.

        Raises ValueError if `tokenizers`, which numbers new tokens itself, would put one into a hole of the ids.
        """
        ids = vocabulary.token_ids
        tokenizer = with_special_tokens(Tokenizer.from_str(self.backend.to_str()), set(ids))
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ids])
        tokenizer = Tokenizer.from_str(tokenizer.to_str())  # loading may number them differently
        for token, place in ids.items():
            if tokenizer.token_to_id(token) != place:
                raise ValueError(
                    f"text tokenizer: its ids, up to {self.size - 1}, have holes that new tokens would fill ({token} "
                    f"at {tokenizer.token_to_id(token)}, not at {place}); add tokens for the holes first"
                )
        return _without_unknown_padding(tokenizer)

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json`` for transformers' AutoTokenizer."""
        save_tokenizer(folder, self.backend, end_of_document=self.end_of_document)


def save_tokenizer(
    folder: Path, tokenizer: Tokenizer, *, end_of_document: int, more: Mapping[str, Any] | None = None
) -> None:
    """Write a tokenizer so that ``AutoTokenizer.from_pretrained(folder)`` gives the same ids.

    Args:
        more: keys of tokenizer_config.json, which override the default ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    closing = tokenizer.id_to_token(end_of_document)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": closing,
        "clean_up_tokenization_spaces": False,  # decoding must return the exact text
        "model_max_length": 1 << 30,
        **(more or {}),
    }
    (folder / "tokenizer_config.json").write_text(to_json(config, indent=1) + "\n")


def _without_unknown_padding(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer without padding by a token that it lacks, because transformers would give that a new id."""
    padding = tokenizer.padding or {}
    if padding and tokenizer.token_to_id(padding["pad_token"]) != padding["pad_id"]:
        logger.warning(
            "tokenizer.json pads by %s, which is no token with id %s: left out", padding["pad_token"], padding["pad_id"]
        )
        tokenizer.no_padding()
    return tokenizer


def _size(tokenizer: Tokenizer) -> int:
    """The highest id plus one; ids may have holes."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1


def _byte_tokenizer() -> Tokenizer:
    """Tokenizer that gives byte b the id b: byte-level BPE (one printable character per byte) without merges."""
    characters = _byte_characters()
    tokenizer = Tokenizer(models.BPE({character: byte for byte, character in enumerate(characters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=False)])
    return tokenizer


def _byte_characters() -> list[str]:
    """GPT-2's alphabet: printable Latin-1 bytes are themselves, the others are characters from U+0100 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def read_tokenizer(path: Path) -> Tokenizer:
    """Load a ``tokenizer.json``; raises FileNotFoundError if it is missing, ValueError if it is unusable."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; a tokenizer folder holds a tokenizer.json")
    try:
        values = orjson.loads(content := path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}); restore the tokenizer") from error
    try:
        tokenizer = Tokenizer.from_buffer(content)
    except Exception as error:  # the Rust code raises nothing more specific
        raise ValueError(f"{path}: no tokenizer in it ({error}); restore the tokenizer") from error
    for token in values.get("added_tokens", []):
        if tokenizer.token_to_id(token["content"]) != token["id"]:  # `tokenizers` numbers added tokens without holes
            raise ValueError(
                f"{path}: token {token['content']} has id {token['id']}, but is loaded as "
                f"{tokenizer.token_to_id(token['content'])}: the ids before it have holes; give the holes names first"
            )
    return tokenizer
