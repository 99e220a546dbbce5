"""Which rows of a model's embedding keep their meaning in a vocabulary, and which are new.

A row means what the model's tokenizer calls its id. Where that has all tokens of the vocabulary at their ids, as the
tokenizer of an export has, all rows are kept; where it is the vocabulary's text tokenizer, those of the text are.
Anything between would lose or mix up what was learnt about speech, and is refused. So is a text tokenizer beside rows
that may be those of speech, whose tokens were lost.

Limitation: fewer than 512 rows that are like the padding behind them count as padding, and so do rows that are fewer
than the vocabulary has.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import kept_vocabulary
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

ROWS = ("text_rows_read", "special_rows_read", "special_rows_drawn", "speech_rows_read", "speech_rows_drawn")
_MOST_PADDING = 512
"""Text models that we read pad their embeddings by fewer rows."""


def kept_rows(
    model: Path, folder: Path, vocabulary: Vocabulary, *, num_rows: int, embedding: Callable[[], Tensor]
) -> int:
    """How many of the model's first rows, `num_rows` in all, mean in the vocabulary `folder` what they mean to it.

    `embedding` reads the rows, [num_rows, D], where their number alone does not tell. ValueError where ids of text, or
    tokens of ours, mean another thing to the model.
    """
    extended = TextTokenizer.load(folder)
    ours = extended.backend.get_vocab(with_added_tokens=True)
    # The file itself: a vocabulary.json beside it would hide tokens that were added since.
    path = model / "tokenizer.json"
    end = extended.backend.id_to_token(vocabulary.end_of_document)
    text = TextTokenizer.load(path if path.is_file() else model, end_of_document=end, begin_of_document=[])
    theirs = text.backend.get_vocab(with_added_tokens=True)
    before = kept_vocabulary(model)
    _require_same_codes(before, vocabulary, model=model, folder=folder)
    kept = vocabulary.size
    if theirs.items() >= ours.items():
        if beyond := sorted((token for token in theirs if token not in ours), key=theirs.__getitem__):
            logger.warning("%s: the vocabulary lacks %s; their rows are left out", model, ", ".join(beyond))
    else:
        kept = vocabulary.num_text_ids
        _require_no_tokens_of_ours(theirs, ours, vocabulary, model=model, folder=folder)
        _require_no_rows_of_ours(before, vocabulary, model=model, num_rows=num_rows)
        if before is None:
            _require_padding(vocabulary, model=model, num_rows=num_rows, embedding=embedding)
        _require_same_text(text, vocabulary, model=model, folder=folder)
    if num_rows < kept:
        raise ValueError(
            f"{model}: its tokenizer has {kept} ids, but config.json vocab_size={num_rows} rows; "
            "save the model with as many rows as its tokenizer has ids"
        )
    return kept


def row_facts(vocabulary: Vocabulary, *, kept: int, num_rows: int) -> dict[str, int]:
    """Rows by kind, read and drawn, where the first `kept` rows of a model's `num_rows` were read."""
    specials = [vocabulary.special_id(token) for token in vocabulary.special_tokens]
    special_rows, speech_rows = (sum(number < kept for number in ids) for ids in (specials, vocabulary.speech_ids))
    read = kept - special_rows - speech_rows, special_rows, len(specials) - special_rows
    counts = *read, speech_rows, vocabulary.num_speech_ids - speech_rows
    others = {"rows_padded": vocabulary.padded_size - vocabulary.size, "rows_left_out": num_rows - kept}
    return {**dict(zip(ROWS, counts, strict=True)), **others}


def _require_same_codes(before: Vocabulary | None, vocabulary: Vocabulary, *, model: Path, folder: Path) -> None:
    """ValueError if the model is an export, of vocabulary `before`, whose speech ids are another tokenizer's codes."""
    if before is None or not before.num_speech_ids:
        return
    theirs, ours = ((each.num_speech_ids, each.speech_fingerprint[:12]) for each in (before, vocabulary))
    if theirs != ours:
        raise ValueError(
            f"{model} knows {theirs[0]} codes of speech tokenizer {theirs[1] or 'unnamed'}, {folder} has {ours[0]} of "
            f"{ours[1] or 'unnamed'}; build the vocabulary with the model's speech tokenizer, or from its text model"
        )


def _require_no_tokens_of_ours(
    theirs: dict[str, int], ours: dict[str, int], vocabulary: Vocabulary, *, model: Path, folder: Path
) -> None:
    """ValueError if the model's tokenizer has a token that is to be new; names the first token that differs."""
    if not any(place >= vocabulary.num_text_ids and token in theirs for token, place in vocabulary.token_ids.items()):
        return
    differ = sorted((token for token in ours if theirs.get(token) != ours[token]), key=lambda each: each not in theirs)
    token, place = differ[0], ours[differ[0]]
    if token in theirs:
        what = f"{token} at id {theirs[token]}, {folder} at {place}"
    else:
        what = f"tokens of speech, but no {token}, which {folder} has at {place}"
    raise ValueError(f"{model}: its tokenizer has {what}; build the vocabulary from this model's tokenizer")


def _require_no_rows_of_ours(before: Vocabulary | None, vocabulary: Vocabulary, *, model: Path, num_rows: int) -> None:
    """ValueError if the model is an export, of vocabulary `before`, that got another tokenizer since."""
    if before is not None and num_rows >= before.size > vocabulary.num_text_ids:
        raise ValueError(
            f"{model} has rows for {before.size} ids, as an export of ours, but not their tokens in its tokenizer; "
            "put the export's tokenizer back, or cut the rows of speech off and build the vocabulary again"
        )


def _require_padding(vocabulary: Vocabulary, *, model: Path, num_rows: int, embedding: Callable[[], Tensor]) -> None:
    """ValueError unless all rows behind the text are padding, or too few to be those of the vocabulary's speech."""
    ours, behind = vocabulary.size - vocabulary.num_text_ids, num_rows - vocabulary.size
    if not vocabulary.num_speech_ids or vocabulary.first_speech_id < vocabulary.num_text_ids or behind < 0:
        return
    if ours < _MOST_PADDING and behind and _alike(embedding()[vocabulary.num_text_ids :], ours):
        return
    raise ValueError(
        f"{model} has {ours + behind} rows more than its tokenizer has ids, as many as an export with speech: put the "
        f"export's tokenizer back, or, if they mean nothing, cut them off (resize_token_embeddings, "
        f"{vocabulary.num_text_ids} rows)"
    )


def _alike(rows: Tensor, first: int) -> bool:
    """Whether the first rows are about as long as the others, which is so where none was trained."""
    lengths = rows.double().norm(dim=1)
    parts = lengths[:first], lengths[first:]
    variance = sum(((part - part.mean()) ** 2).sum() for part in parts) / max(len(lengths) - 2, 1)
    error = (variance * (1 / len(parts[0]) + 1 / len(parts[1]))) ** 0.5
    return bool((parts[0].mean() - parts[1].mean()).abs() <= 4 * error + 1e-6 * lengths.max())


def _require_same_text(text: TextTokenizer, vocabulary: Vocabulary, *, model: Path, folder: Path) -> None:
    """ValueError if the vocabulary was built over another text tokenizer than the model's."""
    if text.fingerprint != vocabulary.text_fingerprint:
        raise ValueError(
            f"{folder}: text tokenizer {vocabulary.text_fingerprint[:12]} differs from {text.fingerprint[:12]} of "
            f"{model}; build the vocabulary from this model's tokenizer"
        )
