#!/usr/bin/env python
"""Text to composed token documents but the synthesis: tokens per second of one core. One JSON line last.

Sentences, filter, the reading aloud of every sentence, units, spans, cut, and composition; each step is also timed
alone.
Codes of the speech are at hand, as many as a synthesiser would write: 5 a word, 0.4 s at 12.5 Hz (arXiv 2411.17607 has
3.81 per text token, the miniature 5.5 a word). Words per second, printed too, do not depend on that number. The text
tokenizer is a known cost that is not ours, so both numbers are given, and the limit concerns the one without the time
spent in it. Documents of 50 to 20,000 words, as many of each length as of any other on a logarithmic scale, of made-up
prose with a share of figures, quotations, names and what cannot be spoken; or of --corpus.
"""

import argparse
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice, product
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from megatron_speech.config.stages.build_interleaved import SpansConfig, SpeakableConfig
from megatron_speech.corpus.records import read_jsonl
from megatron_speech.interleave.compose import Piece, compose_batch, cut_document
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

LIMIT = 2e6
"""Tokens per CPU second without the text tokenizer."""
ROUNDS, WINDOW, CODES_PER_WORD = 5, 64, 5.0
SPANS, SPEAKABLE = SpansConfig(), SpeakableConfig()
VOCABULARY = Vocabulary(num_text_ids=1 << 17, num_speech_ids=16384)

Encode = Callable[[Sequence[str]], Sequence[Sequence[int]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="few documents, and nothing is judged")
    parser.add_argument("--corpus", type=Path, help="JSON lines; by default prose is made up")
    parser.add_argument("--text", type=Path, help="folder of a text tokenizer; by default one is trained on the prose")
    args = parser.parse_args()
    if args.corpus is None:
        documents = made_up_documents(4 if args.short else 100)
    else:
        documents = [(document.id, document.text) for document in islice(read_jsonl(args.corpus), 4000)]
    encode = trained_on([text for _, text in documents[:20]]) if args.text is None else encoder_of(args.text)
    result = measure(documents, encode, rounds=1 if args.short else ROUNDS)
    print(json.dumps(result))
    raise SystemExit(0 if args.short or result["ratio"] >= 1 else 1)


def measure(documents: Sequence[tuple[str, str]], encode: Encode, *, rounds: int) -> dict[str, object]:
    """Medians over rounds, after one that warms what is made at first use."""
    run(documents[:8], encode, Counter())
    seconds: list[Counter[str]] = [Counter() for _ in range(rounds)]
    tokens = 0
    for clock in seconds:
        tokens = run(documents, encode, clock)
    medians = {name: statistics.median(clock[name] for clock in seconds) for name in seconds[0]}
    ours = statistics.median(clock.total() - clock["tokenize"] for clock in seconds)
    whole = statistics.median(clock.total() for clock in seconds)
    words = sum(len(text.split()) for _, text in documents)
    for name, value in medians.items():
        print(f"{name:>9}: {value / words * 1e6:6.3f} us/word")
    print(f"{len(documents)} documents, {words} words, {tokens} tokens composed")
    return {
        "name": "compose",
        "tokens_per_core_second": round(tokens / ours),
        "with_text_tokenizer": round(tokens / whole),
        "words_per_core_second": round(words / ours),
        "limit_tokens_per_core_second": LIMIT,
        "ratio": round(tokens / ours / LIMIT, 3),
        "limit": 1.0,
        "better": "higher",
        "of_this_machine": True,
    }


def run(documents: Sequence[tuple[str, str]], encode: Encode, clock: Counter[str]) -> int:
    """Compose all documents, window by window; CPU seconds by step are added to `clock`. Returns the tokens made."""
    codes = np.random.default_rng(0).integers(0, VOCABULARY.num_speech_ids, 1 << 20)
    tokens = 0
    for start in range(0, len(documents), WINDOW):
        window = documents[start : start + WINDOW]
        began = time.process_time()
        pieces = [cut_document(text, key=key, seed=0, spans=SPANS, speakable=SPEAKABLE) for key, text in window]
        cut = time.process_time()
        speech = [synthesized(parts, codes) for parts in pieces]
        made = time.process_time()
        spent = 0.0

        def timed(texts: Sequence[str]) -> Sequence[Sequence[int]]:
            nonlocal spent
            before = time.process_time()
            ids = encode(texts)
            spent += time.process_time() - before
            return ids

        composed = compose_batch(list(zip(pieces, speech, strict=True)), encode_batch=timed, vocabulary=VOCABULARY)
        clock.update(cut=cut - began, tokenize=spent, compose=time.process_time() - made - spent)
        tokens += sum(len(each.tokens) for each in composed)
    return tokens


def synthesized(pieces: Sequence[Piece], codes: np.ndarray) -> dict[int, np.ndarray | None]:
    """Codes of every span, as a synthesiser would hand them over."""
    return {
        index: codes[index : index + max(1, round(CODES_PER_WORD * (piece.words[1] - piece.words[0])))]
        for index, piece in enumerate(pieces)
        if piece.spoken
    }


def encoder_of(folder: Path) -> Encode:
    return TextTokenizer.load(folder).encode_batch


def trained_on(texts: Sequence[str]) -> Encode:
    """A byte-level tokenizer of 8,000 ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=8000, show_progress=False))
    return lambda batch: [encoding.ids for encoding in tokenizer.encode_batch_fast(list(batch))]


def made_up_documents(count: int) -> list[tuple[str, str]]:
    """Ids and texts of 50 to 20,000 words, lengths evenly spread on a logarithmic scale."""
    rng = random.Random(0)
    syllables = ["".join(pair) for pair in product("bdfgklmnprstvw", "aeiou") if pair != ("v", "i")]  # vi: a numeral
    words = ["".join(rng.choices(syllables, k=rng.choices((1, 2, 3), (5, 4, 2))[0])) for _ in range(4000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    return [
        (f"document-{number}", made_up_text(rng, words, weights, round(50 * 400 ** (number / max(1, count - 1)))))
        for number in range(count)
    ]


def made_up_text(rng: random.Random, words: Sequence[str], weights: Sequence[float], length: int) -> str:
    """Sentences in paragraphs: 12 % with a figure, 8 % quoted, 5 % of names, 2 % lines of code."""
    text, written = [], 0
    while written < length:
        chosen = rng.choices(words, weights, k=min(length - written, rng.randint(6, 28)))
        written += len(chosen)
        kind = rng.random()
        if kind < 0.12:
            chosen[len(chosen) // 2] = rng.choice(["1984", "3.5%", "$1,200", "12", "25 km", "May 3, 2010"])
        elif kind < 0.17:
            chosen = [word.capitalize() if rng.random() < 0.4 else word for word in chosen]
        sentence = " ".join(chosen).capitalize() + rng.choice([".", ".", ".", "?", "!"])
        if kind > 0.98:
            sentence = f"\n{chosen[0]}({', '.join(chosen[1:4])}) = {{{chosen[-1]}}};\n"
        elif kind > 0.9:
            sentence = f"\u201c{sentence}\u201d"
        text.append(sentence + ("\n\n" if rng.random() < 0.15 else " "))
    return "".join(text)


if __name__ == "__main__":
    main()
