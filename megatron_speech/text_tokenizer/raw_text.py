"""A copy of a tokenizer that reads raw text: its special tokens are out of reach, its content tokens are not.

Added tokens are of two kinds. Content tokens (runs of spaces, words of a domain) are encoded as `tokenizers` encodes
them, since a base model was trained so. Special tokens must never come from a text that spells them out. They are
renamed in the copy to a random name that no text holds, also as pieces of the model: a Unigram model or whole words of
a BPE model would reach them without any added token.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

import orjson
from tokenizers import Tokenizer

_PART = re.compile(r"<0x[0-9A-F]{2}>|.", re.DOTALL)
"""Pieces that any text may need, special or not: bytes, which fallback looks up by these names, and characters."""


def raw_text_encoder(tokenizer: Tokenizer) -> tuple[Tokenizer, int | None]:
    """The copy, and the id that it gives to what it does not know, if there is one.

    Its ids are those of `tokenizer`; it must not be asked for the names of special tokens.
    """
    values = orjson.loads(tokenizer.to_str())
    mark = f"\0{secrets.token_hex(16)}\0"
    renamed: dict[str, str] = {}
    for token in values["added_tokens"]:
        if token["special"] and not _PART.fullmatch(token["content"]):
            renamed[token["content"]] = token["content"] = mark + token["content"]
            token["normalized"] = False
    _rename_pieces(values["model"], renamed)
    copy = Tokenizer.from_str(orjson.dumps(values).decode())
    copy.encode_special_tokens = True  # for bytes and characters, which keep their names
    copy.no_truncation()
    copy.no_padding()
    model = values["model"]
    return copy, model["unk_id"] if "unk_id" in model else model["vocab"].get(model.get("unk_token"))


def with_special_tokens(tokenizer: Tokenizer, names: set[str]) -> Tokenizer:
    """`tokenizer` itself, or a copy in which those of its added tokens that `names` has are marked as special."""
    if all(token.special for token in tokenizer.get_added_tokens_decoder().values() if token.content in names):
        return tokenizer
    values = orjson.loads(tokenizer.to_str())
    for token in values["added_tokens"]:
        token["special"] = token["special"] or token["content"] in names
    return Tokenizer.from_str(orjson.dumps(values).decode())


def _rename_pieces(model: dict[str, Any], renamed: dict[str, str]) -> None:
    """Give the pieces of a model's JSON their new names; merges that make one of them are dropped."""
    vocab = model["vocab"]
    if isinstance(vocab, list):  # of a Unigram model, by id
        model["vocab"] = [[renamed.get(piece, piece), score] for piece, score in vocab]
        return
    model["vocab"] = {renamed.get(piece, piece): number for piece, number in vocab.items()}
    if model.get("unk_token") is not None:
        model["unk_token"] = renamed.get(model["unk_token"], model["unk_token"])
    if model.get("merges"):
        prefix = len(model.get("continuing_subword_prefix") or "")
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
        model["merges"] = [
            pair for pair in pairs if not {pair[0], pair[1], pair[0] + pair[1][prefix:]} & renamed.keys()
        ]
