"""Train a SentencePiece tokenizer, and check that its Hugging Face export gives the same ids as sentencepiece.

A hash of the ids decides which documents are drawn, so the order of files has no influence.

Unigram scores are rounded to 1/64, because sentencepiece adds them in float32 and tokenizers in float64. If two
segmentations are equally likely (``aa|a`` and ``a|aa``), rounding errors would decide differently. Multiples of 1/64
add up exactly in both, as long as the sum of a text stays below 2^18 (some 26,000 tokens). Cost: a score changes by at
most 0.008 nats.

Limitation: U+2581, which SentencePiece uses for a space, is decoded as a space.
"""

from __future__ import annotations

import heapq
import io
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sentencepiece
import xxhash

from megatron_speech.artifacts.facts.vocabulary import DrawnFacts, TermsFacts, TextTokenizerFacts, TokenizerTestFacts
from megatron_speech.artifacts.files import fingerprint_files
from megatron_speech.artifacts.left_out import show
from megatron_speech.artifacts.manifest import UNRECORDED, is_made, make_artifact
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.stages.train_text_tokenizer import TrainTextTokenizerConfig
from megatron_speech.corpus.files import file_ids
from megatron_speech.corpus.interface import BadLine
from megatron_speech.corpus.read_share import ReadShare, size_of
from megatron_speech.corpus.records import TextDocument
from megatron_speech.corpus.text_tasks import require_few_lines, text_tasks
from megatron_speech.progress import Progress, follow
from megatron_speech.randomness import xxh3_number
from megatron_speech.text_tokenizer.sentencepiece_model import model_proto
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer

logger = logging.getLogger(__name__)

SCORE_STEPS = 64
"""Unigram scores are multiples of 1 / SCORE_STEPS nats."""
SPACE = "\u2581"
"""SentencePiece's character for a space."""
MOST_HELD_OUT = 1000
"""Most documents to hold out if the configuration does not set `test_documents`."""
UNKNOWN_MARK = "\u2585"
"""SentencePiece's mark of unknown text; its trainer skips texts that contain it."""


@dataclass(frozen=True, order=True)
class Drawn:
    """A drawn document; sorts by `draw`, the hash that decides the order."""

    draw: int
    id: str
    text: str


def train_text_tokenizer(config: TrainTextTokenizerConfig) -> None:
    """Make the tokenizer folder `config.output`, unless it is already made.

    Raises:
        FileNotFoundError: a corpus is missing.
        ValueError: a line of a corpus is unusable, the sample is too small for the vocabulary, or `compare` fails.
    """
    inputs = file_ids(path for task in text_tasks(config.corpora) for path in task.files)
    identity = {key: value for key, value in to_dict(config).items() if key != "max_quarantined_share"}
    if is_made(config.output, kind="text_tokenizer", config=identity, inputs=inputs):
        logger.info("%s is already made", config.output)
        return
    # Draw the sample, train on it, and test on the held-out documents.
    drawn = draw_documents(config)
    logger.info("%d documents to train on, %d held out to test", len(drawn.sample), len(drawn.test))
    with make_artifact(config.output, kind="text_tokenizer", config=identity, inputs=inputs) as draft:
        model = draft.folder / "tokenizer.model"
        with Progress(f"train_text_tokenizer: train on {len(drawn.sample):,} documents"):
            model.write_bytes(train_model(config, [document.text for document in drawn.sample]))
        tokenizer = TextTokenizer.load(model)
        facts = draft.facts = TextTokenizerFacts(
            pieces=tokenizer.size,
            fingerprint=fingerprint_files([model]),
            end_of_document=tokenizer.backend.id_to_token(tokenizer.end_of_document),
            training=_drawn_facts(drawn.sample),
            test=compare(model, tokenizer, drawn.test, lossless=config.normalization == "identity"),
            dropped=dict(sorted(drawn.left_out.items())),
            corpora={
                name: TermsFacts(licence=corpus.licence, language=corpus.language)
                for name, corpus in config.corpora.items()
            },
        )
        draft.licences |= {corpus.licence or UNRECORDED for corpus in config.corpora.values()}
        draft.languages |= {corpus.language for corpus in config.corpora.values() if corpus.language}
        tokenizer.save(draft.folder)
    logger.info(
        "%s: %d pieces from %d documents, %s bytes per token on %d others; lines left out: %s",
        *(config.output, tokenizer.size, len(drawn.sample), facts.test.bytes_per_token, len(drawn.test)),
        show(drawn.left_out),
    )


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Documents drawn from the corpora, in the order of the draw."""

    test: list[Drawn]
    """Held-out documents."""
    sample: list[Drawn]
    """Training documents."""
    left_out: Counter[str]
    """Number of bad lines by reason."""


def draw_documents(config: TrainTextTokenizerConfig) -> Draw:
    """Draw test and training documents, each truncated to `max_bytes`.

    Documents are ordered by a hash of seed and id; the first `test_documents` are held out.
    """
    most = (config.test_documents or MOST_HELD_OUT) + config.sample_documents
    # Keep the `most` documents with the lowest hashes.
    heap: list[tuple[int, Drawn]] = []  # the highest hash first
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
    # Split them into test and training documents.
    held_out = config.test_documents or min(MOST_HELD_OUT, max(1, number // 100))
    if number <= held_out:
        raise ValueError(
            f"the corpora hold {number} documents, and test_documents={held_out} are held out: none is left for "
            "training; lower it"
        )
    drawn = sorted(document for _, document in heap)[: held_out + config.sample_documents]
    return Draw(test=drawn[:held_out], sample=drawn[held_out:], left_out=Counter(line.reason for line in bad))


def _documents(config: TrainTextTokenizerConfig) -> Iterator[TextDocument | BadLine]:
    """Documents and bad lines of all corpora; a bad line raises ValueError if `on_bad_line` is "error"."""
    tasks = text_tasks(config.corpora)
    sizes = [sum(map(size_of, task.files)) for task in tasks]
    with Progress(f"train_text_tokenizer: draw from {', '.join(config.corpora)}", unit="documents") as progress:
        for number, task in enumerate(tasks):
            left, watched = task.settings.max_documents, ReadShare(task.files)
            for index, line, found in task.read(watched):
                if left == 0:
                    break
                if isinstance(found, TextDocument):
                    left = None if left is None else left - 1
                elif config.on_bad_line == "error":
                    raise ValueError(found.message)
                yield found
                progress.add()
                read = sum(sizes[:number]) + sizes[number] * watched.share(index, line)
                progress.share = read / max(1, sum(sizes))


def train_model(config: TrainTextTokenizerConfig, texts: Sequence[str]) -> bytes:
    """Train on `texts`; return the content of the SentencePiece model file."""
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
            * config.max_bytes,  # never reached, because SentencePiece silently skips longer texts
            num_threads=config.threads,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(_refusal(str(error), config)) from error
    proto = model_proto(model.getvalue())
    if config.model_type == "unigram":
        for piece in proto.pieces:
            piece.score = round(piece.score * SCORE_STEPS) / SCORE_STEPS
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _refusal(message: str, config: TrainTextTokenizerConfig) -> str:
    """One line in our words for a `message` of SentencePiece's trainer."""
    if most := re.search(r"Vocabulary size too high \(\d+\). Please set it to a value <= (\d+)", message):
        return (
            f"vocab_size={config.vocab_size} must be at most {most[1]}, for the drawn documents hold no more pieces; "
            "lower it, or give more text"
        )
    if least := re.search(r"smaller than required_chars. \d+ vs (\d+)", message):
        return (
            f"vocab_size={config.vocab_size} must be at least {least[1]}, which special tokens, bytes and characters "
            f"take; raise it, or lower character_coverage={config.character_coverage}"
        )
    return f"SentencePiece refuses: {message.splitlines()[-1]}; change that setting"


def compare(model: Path, tokenizer: TextTokenizer, test: Sequence[Drawn], *, lossless: bool) -> TokenizerTestFacts:
    """Facts from encoding the test documents with sentencepiece and with the export.

    Raises ValueError for the first document with different ids or, if `lossless`, the first that changes by decoding.
    """
    # Compare and count.
    reference = sentencepiece.SentencePieceProcessor(model_file=str(model))
    counts: Counter[str] = Counter()
    for document in follow(test, "train_text_tokenizer: test", unit="documents"):
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
    # Facts.
    tokens = max(1, counts["tokens"])
    return TokenizerTestFacts(
        **vars(_drawn_facts(test)),
        equal_ids=True,
        documents_given_back=counts["documents_given_back"],
        tokens=counts["tokens"],
        bytes_per_token=round(sum(len(document.text.encode()) for document in test) / tokens, 4),
        unknown_rate=counts["unknown"] / tokens,
        byte_rate=round(counts["bytes"] / tokens, 6),
    )


def _drawn_facts(documents: Sequence[Drawn]) -> DrawnFacts:
    """Size and fingerprint of a list of documents."""
    digest, size = xxhash.xxh3_128(), 0
    for document in documents:
        text = document.text.encode()
        digest.update(f"{document.id}\0{len(text)}\0".encode() + text)
        size += len(text)
    left_out = sum(UNKNOWN_MARK in document.text for document in documents)
    return DrawnFacts(
        documents=len(documents), text_bytes=size, fingerprint=digest.hexdigest(), with_reserved_character=left_out
    )


def _cut(text: str, size: int) -> str:
    """The first `size` bytes, whole characters only."""
    return text if len(text) * 4 <= size else text.encode()[:size].decode(errors="ignore")
