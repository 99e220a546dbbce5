"""Interleaved data from text corpora: sample spans, synthesise them in bulk, compose, count.

    documents --(windows)--> spans --(sorted by length)--> speech codes --> compose --> token documents

A generator over documents, so that it can stand in any pipeline. Synthesis is the cost: a window of documents is cut
first, and all its spans are synthesised at once, longest first, so that batches hold like lengths. Span places and
speech are functions of (seed, document id, rendering), not of windows or batches. A rendering is one pass of fresh
spans over a document: diversity rather than repetition is what synthetic data offers. Price: a window of documents in
memory, and a document without any span (its target was below a word) stays text alone.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from megatron_speech.artifact import is_made, make_artifact
from megatron_speech.config.interleave import InterleaveConfig
from megatron_speech.data.corpus import TextDocument, read_jsonl
from megatron_speech.data.document import TokenDocument
from megatron_speech.data.shards import write_documents
from megatron_speech.inference.model import read_vocabulary
from megatron_speech.interleave.compose import Piece, compose, cut_document
from megatron_speech.interleave.tally import Tally
from megatron_speech.interleave.units import TokenEnds
from megatron_speech.text_to_token.synthesize import Synthesizer
from megatron_speech.text_tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

WINDOW_DOCUMENTS = 256
"""Renderings cut before their spans are synthesised together: enough spans to fill batches of like length."""

Synthesize = Callable[[Sequence[str], Sequence[str]], Sequence[np.ndarray | None]]
"""(texts, keys naming them for the random numbers) -> codes int [T] of each, None where synthesis failed."""


@dataclass(frozen=True)
class Rendering:
    """One pass over a document: its text, and a key that seeds its spans and its speech."""

    key: str
    text: str
    meta: dict[str, Any]


def run_build(config: InterleaveConfig) -> None:
    """Build the folder `config.output` of interleaved token documents."""
    inputs = [*(corpus.path for corpus in config.corpora.values()), config.model, config.vocabulary]
    if is_made(config.output, kind="interleaved", config=config, inputs=inputs):
        logging.getLogger(__name__).info("%s: already done", config.output)
        return
    vocabulary = Vocabulary.load(config.vocabulary)
    tokenizer = TextTokenizer.load(config.vocabulary)
    # Everything that can be wrong is looked at before the model is loaded: a mistake shows at once.
    if read_vocabulary(config.model).speech_fingerprint != vocabulary.speech_fingerprint:
        raise ValueError(
            f"model={config.model} writes the codes of another speech tokenizer than vocabulary={config.vocabulary}; "
            "build both with one speech tokenizer"
        )
    # A first pass over the corpora: a bad line is found before hours of synthesis, and the bar knows its end.
    total = sum(1 for _ in read_renderings(config, Tally(config.spans)))
    synthesizer, tally = Synthesizer.load(config.model, config.synthesis), Tally(config.spans)
    with make_artifact(config.output, kind="interleaved", config=config, inputs=inputs) as draft:
        documents = interleave(
            tqdm(read_renderings(config, tally), total=total, desc="interleave", unit="document"),
            config,
            encode=tokenizer.encode,
            token_ends=tokenizer.token_ends,
            vocabulary=vocabulary,
            synthesize=lambda texts, keys: synthesizer.synthesize(texts, config.seed, keys=keys),
            tally=tally,
        )
        totals = write_documents(draft.folder, documents, vocabulary=vocabulary, name="interleaved")
        draft.licences |= {corpus.licence for corpus in config.corpora.values() if corpus.licence}
        draft.languages |= {corpus.language for corpus in config.corpora.values() if corpus.language}
        draft.facts |= totals | tally.facts() | {"synthesis": dict(synthesizer.counts)}


def read_renderings(config: InterleaveConfig, tally: Tally) -> Iterator[Rendering]:
    """Every rendering of every speakable document, corpus by corpus; ValueError where two corpora share an id."""
    seen: dict[str, str] = {}
    for name, corpus in config.corpora.items():
        speakable = (document for document in read_jsonl(corpus.path) if tally.admit(is_speakable(document)))
        for document in itertools.islice(speakable, corpus.max_documents):
            if seen.setdefault(document.id, name) != name:
                raise ValueError(
                    f"corpora.{name}.path={corpus.path}: id {document.id!r} is also in corpora.{seen[document.id]}; "
                    "ids seed the spans and must differ"
                )
            for number in range(corpus.renderings):
                meta = {"id": document.id, "corpus": name, "rendering": number}
                yield Rendering(f"{document.id}#{number}", document.text, meta)


def is_speakable(document: TextDocument) -> bool:
    """Whether the corpus lets the document become speech; anything but true or false is a ValueError."""
    speakable = document.metadata.get("speakable", True)
    if not isinstance(speakable, bool):
        raise ValueError(
            f"document {document.id!r}: metadata.speakable={speakable!r} must be true or false; fix the corpus"
        )
    return speakable


def interleave(
    renderings: Iterable[Rendering],
    config: InterleaveConfig,
    *,
    encode: Callable[[str], Sequence[int]],
    vocabulary: Vocabulary,
    synthesize: Synthesize,
    tally: Tally,
    token_ends: TokenEnds | None = None,
    window: int = WINDOW_DOCUMENTS,
) -> Iterator[TokenDocument]:
    """Token documents in the order of `renderings`; their meta tell every span's words, characters, tokens and key."""
    waiting = iter(renderings)
    while batch := list(itertools.islice(waiting, window)):
        pieces = [cut_rendering(rendering, config, token_ends) for rendering in batch]
        codes = synthesize_pieces(batch, pieces, synthesize)
        for rendering, parts, speech in zip(batch, pieces, codes, strict=True):
            composed = compose(parts, speech, encode=encode, vocabulary=vocabulary, boundary=config.boundary)
            tally.count(parts, speech, composed)
            spans = [{**span, "key": f"{rendering.key}:{span['words'][0]}"} for span in composed.spans]
            failed = sum(spoken is None for spoken in speech.values())
            meta = {
                **rendering.meta,
                "seed": config.seed,
                "engine": str(config.model),
                "spans": spans,
                "failed": failed,
            }
            yield TokenDocument(key=rendering.key, tokens=composed.tokens, meta=meta)


def cut_rendering(rendering: Rendering, config: InterleaveConfig, token_ends: TokenEnds | None) -> list[Piece]:
    """Pieces of a document, those to be spoken marked."""
    return cut_document(
        rendering.text,
        key=rendering.key,
        seed=config.seed,
        spans=config.spans,
        speakable=config.speakable,
        token_ends=token_ends,
    )


def synthesize_pieces(
    renderings: Sequence[Rendering], pieces: Sequence[Sequence[Piece]], synthesize: Synthesize
) -> list[dict[int, np.ndarray | None]]:
    """Codes of the spoken pieces of each document, by piece index; one call for all, longest text first."""
    places = [
        (document, index, piece)
        for document, parts in enumerate(pieces)
        for index, piece in enumerate(parts)
        if piece.spoken
    ]
    places.sort(key=lambda place: -len(place[2].text))
    texts = [piece.text.strip() for _, _, piece in places]
    keys = [f"{renderings[document].key}:{piece.words[0]}" for document, _, piece in places]
    codes: list[dict[int, np.ndarray | None]] = [{} for _ in pieces]
    spoken = synthesize(texts, keys) if texts else []
    for (document, index, _), sequence in zip(places, spoken, strict=True):
        codes[document][index] = sequence
    return codes
