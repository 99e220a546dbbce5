#!/usr/bin/env python
"""Documents to shards against the bare tokenizer: JSON lines in, token shards out, on all cores; one JSON line last.

The bare call is `tokenizers.Tokenizer.encode_batch_fast` on the same texts, already in memory, in the same batches with
the same threads; its result is thrown away. Both in one process, alternating; CPU time of all threads, medians.
"""

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.config.stages.train_text_tokenizer import TrainTextTokenizerConfig
from megatron_speech.corpus.records import read_jsonl
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text
from megatron_speech.tokenize_text.steps import BATCH_TEXTS
from megatron_speech.tokenize_text.train_tokenizer import train_text_tokenizer

LIMIT = 0.85


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="small, and nothing is judged")
    parser.add_argument("--corpus", type=Path, help="JSON lines; by default words are made up")
    parser.add_argument("--vocabulary", type=Path, help="vocabulary folder; by default one is trained on the corpus")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), args.corpus, args.vocabulary, short=args.short)
    print(json.dumps(result))
    raise SystemExit(0 if args.short or result["ratio"] >= LIMIT else 1)


def measure(folder: Path, corpus: Path | None, vocabulary: Path | None, *, short: bool) -> dict[str, object]:
    """Medians of both sides."""
    if corpus is None:
        corpus = made_up_corpus(folder / "corpus.jsonl", documents=40 if short else 1500)
    corpora = {"web": TextCorpusConfig(path=corpus)}
    if vocabulary is None:
        vocab_size = 1000 if short else 8000
        train_text_tokenizer(
            TrainTextTokenizerConfig(
                corpora=corpora, output=folder / "t", vocab_size=vocab_size, test_documents=10, sample_documents=500
            )
        )
        vocabulary = folder / "vocabulary"
        build_vocabulary(BuildVocabularyConfig(output=vocabulary, text=str(folder / "t"), codebook_size=16384))
    texts = [document.text for document in read_jsonl(corpus)]
    encoder = TextTokenizer.load(vocabulary).encoder

    def bare() -> None:
        for start in range(0, len(texts), BATCH_TEXTS):
            encoder.encode_batch_fast(texts[start : start + BATCH_TEXTS], add_special_tokens=False)

    def whole() -> None:
        shutil.rmtree(folder / "out", ignore_errors=True)
        tokenize_text(TokenizeTextConfig(corpora=corpora, vocabulary=vocabulary, output=folder / "out"))

    def loading() -> None:  # of a vocabulary with 16,384 speech names: once per task, whatever its size
        TextTokenizer.load(vocabulary)

    times: dict[str, list[float]] = {"bare": [], "whole": [], "loading": []}
    for _ in range(1 if short else 7):
        for name, work in (("bare", bare), ("whole", whole), ("loading", loading)):
            times[name].append(cpu_seconds(work))
    bare_s, whole_s, loading_s = (statistics.median(times[name]) for name in ("bare", "whole", "loading"))
    tokens = sum(len(ids) for ids in TextTokenizer.load(vocabulary).encode_batch(texts))
    return {
        "name": "tokenize_text",
        "ratio": round(bare_s / (whole_s - loading_s), 4),
        "limit": LIMIT,
        "better": "higher",
        "ratio_with_loading": round(bare_s / whole_s, 4),
        "loading_s": round(loading_s, 3),
        "million_tokens_per_core_second": round(tokens / whole_s / 1e6, 4),
        "tokens": tokens,
        "megabytes": round(sum(len(text.encode()) for text in texts) / 1e6, 2),
    }


def cpu_seconds(work: Callable[[], None]) -> float:
    """CPU time of all threads of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def made_up_corpus(path: Path, *, documents: int) -> Path:
    """Documents as long as web pages, of words whose frequencies fall as in language."""
    rng = random.Random(0)
    words = ["".join(rng.choice("etaoinshrdlucmfwypvbgk") for _ in range(rng.randrange(2, 11))) for _ in range(20000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    with path.open("w") as file:
        for number in range(documents):
            text = " ".join(rng.choices(words, weights, k=rng.randrange(100, 1300)))
            file.write(json.dumps({"id": f"d{number}", "text": text}) + "\n")
    return path


if __name__ == "__main__":
    main()
