#!/usr/bin/env python
"""Words of training data per minute of one core that are searched for evaluation items; one JSON line last.

Shards of made-up text are read, decoded and searched for 10,000 items, of which every tenth stands there. `peak_growth`
is the peak memory of Python's objects for the whole text over that for a tenth of it: 1 is flat.
"""

import argparse
import json
import random
import tempfile
import time
import tracemalloc
from itertools import islice
from pathlib import Path

from tokenize_text import made_up_corpus

from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.config.stages.train_text_tokenizer import TrainTextTokenizerConfig
from megatron_speech.corpus.records import read_jsonl
from megatron_speech.evaluation.contamination.item_index import ItemIndex
from megatron_speech.evaluation.contamination.training_texts import training_texts
from megatron_speech.evaluation.contamination.words import words_of, words_with_places
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text
from megatron_speech.tokenize_text.train_tokenizer import train_text_tokenizer
from megatron_speech.vocabulary import Vocabulary

LIMIT = 1_000_000
"""Words per core-minute."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="small, and nothing is judged")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), short=args.short)
    print(json.dumps(result))
    raise SystemExit(0 if args.short or result["words_per_core_minute"] >= LIMIT else 1)


def measure(folder: Path, *, short: bool) -> dict[str, object]:
    """Rate over all documents, and the growth of memory."""
    corpus = made_up_corpus(folder / "corpus.jsonl", documents=40 if short else 3000)
    vocabulary, shards = tokenized(folder, corpus, short=short)
    index = ItemIndex(list(items_of(corpus, 100 if short else 10_000)), together=8, fewest=5)
    loaded, tokenizer = Vocabulary.load(vocabulary), TextTokenizer.load(vocabulary)

    def search(documents: int | None) -> tuple[int, int]:
        words = found = 0
        for text in islice(training_texts(shards, vocabulary=loaded, tokenizer=tokenizer, corpora={}), documents):
            here = words_with_places(text.text)
            words += len(here[0])
            found += sum(match.share >= 0.8 for match in index.matches_of(*here))
        return words, found

    start = time.process_time()
    words, found = search(None)
    rate = 60 * words / (time.process_time() - start)
    peaks = [peak(lambda count=count: search(count)) for count in ((4, 40) if short else (30, 300))]
    return {
        "name": "contamination",
        "ratio": round(rate / LIMIT, 4),
        "limit": 1.0,
        "better": "higher",
        "words_per_core_minute": round(rate),
        "words": words,
        "found": found,
        "peak_growth": round(peaks[1] / peaks[0], 3),
        "of_this_machine": True,
    }


def tokenized(folder: Path, corpus: Path, *, short: bool) -> tuple[Path, Path]:
    """A vocabulary that is trained on the corpus, and the corpus as shards."""
    corpora = {"web": TextCorpusConfig(path=corpus)}
    train_text_tokenizer(
        TrainTextTokenizerConfig(
            corpora=corpora,
            output=folder / "t",
            vocab_size=1000 if short else 8000,
            test_documents=10,
            sample_documents=500,
        )
    )
    build_vocabulary(BuildVocabularyConfig(output=folder / "vocabulary", text=str(folder / "t"), codebook_size=16384))
    tokenize_text(TokenizeTextConfig(corpora=corpora, vocabulary=folder / "vocabulary", output=folder / "shards"))
    return folder / "vocabulary", folder / "shards"


def items_of(corpus: Path, count: int) -> list[list[str]]:
    """Items of 20 words: every tenth from the corpus, the others made up of its words."""
    drawn = random.Random(1)
    texts = [words_of(document.text) for document in islice(read_jsonl(corpus), 1000)]
    words = [word for text in texts[:20] for word in text]
    planted = (drawn.choice([text for text in texts if len(text) > 40]) for _ in range(count // 10))
    return [text[10:30] for text in planted] + [drawn.choices(words, k=20) for _ in range(count - count // 10)]


def peak(work: object) -> int:
    """Peak of Python's memory in a call, in bytes."""
    tracemalloc.start()
    work()
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return used


if __name__ == "__main__":
    main()
