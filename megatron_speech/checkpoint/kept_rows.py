"""Decides how many rows of a model's embedding are kept when it is imported with a vocabulary.

A row belongs to the token that the model's tokenizer has at its id. Two cases are accepted:
- The tokenizer has all tokens of the vocabulary at their ids, as in an export of ours. All rows are kept.
- The tokenizer is the vocabulary's text tokenizer. The rows of text are kept; the others are new.

Anything between would lose or mix up rows of speech, and is refused. Also refused: a text tokenizer, but more rows than
it has ids, which may be rows of speech with lost tokens.

Limitation: rows behind the text count as padding if they are fewer than the vocabulary adds. So do fewer than 512 rows
that resemble the padding behind them.
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
"""Upper bound of the rows that text models use to pad their embeddings."""


def kept_rows(
    model: Path, folder: Path, vocabulary: Vocabulary, *, num_rows: int, embedding: Callable[[], Tensor]
) -> int:
    """Number of first rows of the model's embedding that have the same tokens in the vocabulary of `folder`.

    Args:
        model: Hugging Face folder.
        num_rows: rows of its embedding.
        embedding: reads the rows [num_rows, D]; called only if their number does not decide.

    Raises:
        ValueError: an id has another token in the model's tokenizer, or rows of speech have lost their tokens.
    """
    # Read both tokenizers.
    extended = TextTokenizer.load(folder)
    ours = extended.backend.get_vocab(with_added_tokens=True)
    # tokenizer.json itself: beside a vocabulary.json, the folder would load without tokens that were added since.
    path = model / "tokenizer.json"
    end = extended.backend.id_to_token(vocabulary.end_of_document)
    text = TextTokenizer.load(path if path.is_file() else model, end_of_document=end, begin_of_document=[])
    theirs = text.backend.get_vocab(with_added_tokens=True)

    # Decide which rows are kept.
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
            f"{model}: its tokenizer has {kept} ids, but its embedding {num_rows} rows (config.json vocab_size); "
            "save the model with as many rows as its tokenizer has ids"
        )
    return kept


def row_facts(vocabulary: Vocabulary, *, kept: int, num_rows: int) -> dict[str, int]:
    """Number of rows read and drawn, by kind, if the first `kept` of a model's `num_rows` rows were read."""
    specials = [vocabulary.special_id(token) for token in vocabulary.special_tokens]
    special_rows, speech_rows = (sum(number < kept for number in ids) for ids in (specials, vocabulary.speech_ids))
    read = kept - special_rows - speech_rows, special_rows, len(specials) - special_rows
    counts = *read, speech_rows, vocabulary.num_speech_ids - speech_rows
    others = {"rows_padded": vocabulary.padded_size - vocabulary.size, "rows_left_out": num_rows - kept}
    return {**dict(zip(ROWS, counts, strict=True)), **others}


def _require_same_codes(before: Vocabulary | None, vocabulary: Vocabulary, *, model: Path, folder: Path) -> None:
    """Raise ValueError if the model is an export (vocabulary `before`) with codes of another speech tokenizer."""
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
    """Raise ValueError if the model's tokenizer has a token that should be new; it names the first that differs."""
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
    """Raise ValueError if the model is an export (vocabulary `before`) that was given another tokenizer since."""
    if before is not None and num_rows >= before.size > vocabulary.num_text_ids:
        raise ValueError(
            f"{model} has rows for {before.size} ids, as an export of ours, but not their tokens in its tokenizer; "
            "put the export's tokenizer back, or cut the rows of speech off and build the vocabulary again"
        )


def _require_padding(vocabulary: Vocabulary, *, model: Path, num_rows: int, embedding: Callable[[], Tensor]) -> None:
    """Raise ValueError unless the rows behind the text are padding, or too few to be the vocabulary's speech."""
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
    """Whether the first `first` rows have about the same mean norm as the others, as untrained rows do."""
    lengths = rows.double().norm(dim=1)
    parts = lengths[:first], lengths[first:]
    variance = sum(((part - part.mean()) ** 2).sum() for part in parts) / max(len(lengths) - 2, 1)
    error = (variance * (1 / len(parts[0]) + 1 / len(parts[1]))) ** 0.5
    return bool((parts[0].mean() - parts[1].mean()).abs() <= 4 * error + 1e-6 * lengths.max())


def _require_same_text(text: TextTokenizer, vocabulary: Vocabulary, *, model: Path, folder: Path) -> None:
    """Raise ValueError if the vocabulary was built with another text tokenizer than the model's."""
    if text.fingerprint != vocabulary.text_fingerprint:
        raise ValueError(
            f"{folder}: text tokenizer {vocabulary.text_fingerprint[:12]} differs from {text.fingerprint[:12]} of "
            f"{model}; build the vocabulary from this model's tokenizer"
        )
