"""Make a copy of a tokenizer for raw text, which never encodes text as a special token.

Added tokens are of two kinds. Content tokens (runs of spaces, words of a domain) are encoded as `tokenizers` does,
because the base model was trained that way. Special tokens must never result from a text that spells them out. So the
copy gives them random names that no text contains. Pieces of the model are renamed too, because a Unigram model, or
BPE with whole words, would find them without an added token.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

import orjson
from tokenizers import Tokenizer

_PART = re.compile(r"<0x[0-9A-F]{2}>|.", re.DOTALL)
"""Names of pieces that any text may need: bytes (byte fallback finds them by name) and single characters."""


def raw_text_encoder(tokenizer: Tokenizer) -> tuple[Tokenizer, int | None]:
    """The copy of `tokenizer`, and the id of its unknown token (or None).

    The copy has the same ids. Do not use it to look up names of special tokens.
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
    copy.encode_special_tokens = True  # for special bytes and characters, which keep their names
    copy.no_truncation()
    copy.no_padding()
    model = values["model"]
    return copy, model["unk_id"] if "unk_id" in model else model["vocab"].get(model.get("unk_token"))


def with_special_tokens(tokenizer: Tokenizer, names: set[str]) -> Tokenizer:
    """`tokenizer` with its added tokens in `names` marked as special; a copy if a mark is missing."""
    if all(token.special for token in tokenizer.get_added_tokens_decoder().values() if token.content in names):
        return tokenizer
    values = orjson.loads(tokenizer.to_str())
    for token in values["added_tokens"]:
        token["special"] = token["special"] or token["content"] in names
    return Tokenizer.from_str(orjson.dumps(values).decode())


def _rename_pieces(model: dict[str, Any], renamed: dict[str, str]) -> None:
    """Rename pieces in a model's JSON, in place; merges that use or produce such a piece are removed."""
    vocab = model["vocab"]
    if isinstance(vocab, list):  # Unigram: a list by id
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
