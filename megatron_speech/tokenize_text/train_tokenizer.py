"""Train a SentencePiece tokenizer, and believe its Hugging Face export only where it gives sentencepiece's own ids.

Documents are drawn by a hash of their ids, so the draw does not depend on the order of files. Unigram scores are
rounded to 1/64: the two libraries add them in float32 and in float64, so where two cuts of a text are equally likely
(``aa|a`` and ``a|aa``) rounding alone decided, differently; multiples of 1/64 add up exactly in both while a text's
sum stays below 2^18, some 26,000 tokens. Price: a score is off by at most 0.008 nats. What does not come back from
decoding is U+2581, which SentencePiece writes for a space.
"""

from __future__ import annotations

import heapq
import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import xxhash

from megatron_speech.artifacts.files import fingerprint_files
from megatron_speech.artifacts.left_out import show
from megatron_speech.artifacts.manifest import UNRECORDED, is_made, make_artifact
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.stages.train_text_tokenizer import TrainTextTokenizerConfig
from megatron_speech.corpus.files import file_ids
from megatron_speech.corpus.interface import BadLine
from megatron_speech.corpus.records import TextDocument
from megatron_speech.corpus.text_tasks import require_few_lines, text_tasks
from megatron_speech.randomness import xxh3_number
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer

logger = logging.getLogger(__name__)

SCORE_STEPS = 64
"""Steps of a unigram score per nat."""
SPACE = "\u2581"
"""What SentencePiece writes for a space."""
MOST_HELD_OUT = 1000
"""Documents held out where the configuration does not say how many."""
UNKNOWN_MARK = "\u2585"
"""SentencePiece leaves out texts with this character, which marks what it does not know."""


@dataclass(frozen=True, order=True)
class Drawn:
    """A document of the sample, in the order of the draw."""

    draw: int
    id: str
    text: str


def train_text_tokenizer(config: TrainTextTokenizerConfig) -> None:
    """Make the tokenizer folder of `config`, or say that it is made.

    Raises:
        FileNotFoundError: a corpus is missing.
        ValueError: a line of a corpus is unusable, the sample does not carry so large a vocabulary, or the export does
            not give sentencepiece's ids or (with normalization identity) does not give back a text, which is named.
    """
    inputs = file_ids(path for task in text_tasks(config.corpora) for path in task.files)
    identity = {key: value for key, value in to_dict(config).items() if key != "max_quarantined_share"}
    if is_made(config.output, kind="text_tokenizer", config=identity, inputs=inputs):
        logger.info("%s is already made", config.output)
        return
    drawn = draw_documents(config)
    logger.info("%d documents to train on, %d held out to test", len(drawn.sample), len(drawn.test))
    with make_artifact(config.output, kind="text_tokenizer", config=identity, inputs=inputs) as draft:
        model = draft.folder / "tokenizer.model"
        model.write_bytes(train_model(config, [document.text for document in drawn.sample]))
        tokenizer = TextTokenizer.load(model)
        draft.facts |= {
            "pieces": tokenizer.size,
            "fingerprint": fingerprint_files([model]),
            "end_of_document": tokenizer.backend.id_to_token(tokenizer.end_of_document),
            "training": _corpus_facts(drawn.sample),
            "test": _corpus_facts(drawn.test)
            | compare(model, tokenizer, drawn.test, lossless=config.normalization == "identity"),
            "dropped": dict(sorted(drawn.left_out.items())),
            "corpora": {
                name: {"licence": corpus.licence, "language": corpus.language}
                for name, corpus in config.corpora.items()
            },
        }
        draft.licences |= {corpus.licence or UNRECORDED for corpus in config.corpora.values()}
        draft.languages |= {corpus.language for corpus in config.corpora.values() if corpus.language}
        tokenizer.save(draft.folder)
    logger.info(
        "%s: %d pieces from %d documents, %s bytes per token on %d others; lines left out: %s",
        *(config.output, tokenizer.size, len(drawn.sample), draft.facts["test"]["bytes_per_token"], len(drawn.test)),
        show(drawn.left_out),
    )


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What was drawn of the corpora, in the order of the draw."""

    test: list[Drawn]
    """Held out."""
    sample: list[Drawn]
    """To train on."""
    left_out: Counter[str]
    """Lines that are no documents, by reason."""


def draw_documents(config: TrainTextTokenizerConfig) -> Draw:
    """Test and training documents, cut to `max_bytes`.

    A document's place in the draw is a hash of its id and the seed: the first `test_documents` are held out.
    """
    most = (config.test_documents or MOST_HELD_OUT) + config.sample_documents
    heap: list[tuple[int, Drawn]] = []  # of those drawn so far, the last one first
    number = 0
    bad: list[BadLine] = []
    for found in _documents(config):
        if isinstance(found, BadLine):
            bad.append(found)
            continue
        number += 1
        draw = xxh3_number(f"{config.seed} {found.id}")
        if len(heap) == most and -draw <= heap[0][0]:
            continue
        entry = (-draw, Drawn(draw, found.id, _cut(found.text, config.max_bytes)))
        (heapq.heappush if len(heap) < most else heapq.heappushpop)(heap, entry)
    require_few_lines(bad, number + len(bad), config.max_quarantined_share)
    held_out = config.test_documents or min(MOST_HELD_OUT, max(1, number // 100))
    if number <= held_out:
        raise ValueError(
            f"the corpora hold {number} documents of which test_documents={held_out} are held out: nothing is left to "
            "train on; lower it"
        )
    drawn = sorted(document for _, document in heap)[: held_out + config.sample_documents]
    return Draw(test=drawn[:held_out], sample=drawn[held_out:], left_out=Counter(line.reason for line in bad))


def _documents(config: TrainTextTokenizerConfig) -> Iterator[TextDocument | BadLine]:
    """The documents of all corpora, and lines that are none; ValueError for one where that is an error."""
    for task in text_tasks(config.corpora):
        left = task.settings.max_documents
        for _, _, found in task.read():
            if left == 0:
                break
            if isinstance(found, TextDocument):
                left = None if left is None else left - 1
            elif config.on_bad_line == "error":
                raise ValueError(found.message)
            yield found


def train_model(config: TrainTextTokenizerConfig, texts: Sequence[str]) -> bytes:
    """The SentencePiece model file."""
    from sentencepiece import sentencepiece_model_pb2

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type=config.model_type,
            vocab_size=config.vocab_size,
            byte_fallback=config.byte_fallback,
            character_coverage=config.character_coverage,
            normalization_rule_name=config.normalization,
            remove_extra_whitespaces=config.normalization != "identity",
            split_digits=config.split_digits,
            control_symbols=list(config.special_tokens),
            max_sentence_length=4
            * config.max_bytes,  # texts are cut already: what is longer would be left out silently
            num_threads=config.threads,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(f"SentencePiece refuses: {str(error).splitlines()[-1]}; change that setting") from error
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())  # type: ignore[attr-defined]
    if config.model_type == "unigram":
        for piece in proto.pieces:
            piece.score = round(piece.score * SCORE_STEPS) / SCORE_STEPS
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def compare(model: Path, tokenizer: TextTokenizer, test: Sequence[Drawn], *, lossless: bool) -> dict[str, Any]:
    """What the test says; ValueError names the first text of other ids, or that does not come back if `lossless`."""
    reference = sentencepiece.SentencePieceProcessor(model_file=str(model))
    counts: Counter[str] = Counter()
    for document in test:
        ids = tokenizer.encode(document.text)
        if ids != (expected := reference.encode(document.text)):
            at = next(n for n, pair in enumerate(zip([*ids, -1], [*expected, -1], strict=False)) if pair[0] != pair[1])
            raise ValueError(
                f"the export differs from sentencepiece on document {document.id!r}, token {at}: {ids[at : at + 4]}, "
                f"not {expected[at : at + 4]}; choose another model_type or normalization"
            )
        back = tokenizer.decode(ids) == document.text
        if lossless and not back and SPACE not in document.text:
            raise ValueError(f"document {document.id!r} does not come back from its ids; set byte_fallback: true")
        counts["documents_given_back"] += back
        counts["tokens"] += len(ids)
        counts["unknown"] += ids.count(reference.unk_id())
        counts["bytes"] += sum(map(reference.is_byte, ids))
    tokens = max(1, counts["tokens"])
    return {
        "equal_ids": True,
        "documents_given_back": counts["documents_given_back"],
        "tokens": counts["tokens"],
        "bytes_per_token": round(sum(len(document.text.encode()) for document in test) / tokens, 4),
        "unknown_rate": counts["unknown"] / tokens,
        "byte_rate": round(counts["bytes"] / tokens, 6),
    }


def _corpus_facts(documents: Sequence[Drawn]) -> dict[str, Any]:
    """Size and identity of a list of documents."""
    digest, size = xxhash.xxh3_128(), 0
    for document in documents:
        text = document.text.encode()
        digest.update(f"{document.id}\0{len(text)}\0".encode() + text)
        size += len(text)
    left_out = sum(UNKNOWN_MARK in document.text for document in documents)
    facts = {"documents": len(documents), "text_bytes": size, "fingerprint": digest.hexdigest()}
    return facts | {"with_reserved_character": left_out}


def _cut(text: str, size: int) -> str:
    """The first `size` bytes, whole characters only."""
    return text if len(text) * 4 <= size else text.encode()[:size].decode(errors="ignore")
