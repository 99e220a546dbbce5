#!/usr/bin/env python
"""CPU time that `evaluate --dry_run` predicts, over the time that scoring then takes; medians over rounds.

A random model of 5 million parameters scores multiple-choice items whose contexts have 5 to 400 tokens, four candidates
each. Both are measured in one process, one after the other, so that load on the machine meets both. `ratio` is the
larger of predicted over real and real over predicted. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from megatron_speech.evaluation.dry_run import task_costs
from megatron_speech.evaluation.harness import run_task
from megatron_speech.evaluation.tasks.interface import Answers, Record, Request, ScoringProtocol
from megatron_speech.inference.model import LanguageModel
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

LIMIT, ROUNDS = 1.2, 3


class Choices:
    """Items with one context and four candidates."""

    lists_records: ClassVar[bool] = True
    inputs: ClassVar[list[Path]] = []

    def __init__(self, count: int) -> None:
        self.count = count

    def protocol(self, items: Sequence[int]) -> ScoringProtocol:
        return ScoringProtocol(chance={"choices": 0.25}, template="random ids", score="sum")

    def items(self, vocabulary: Vocabulary) -> Sequence[int]:
        return range(self.count)

    def requests(self, items: Sequence[int], model: Any) -> Iterator[tuple[str, list[Request]]]:
        drawn = random.Random(0)
        contexts = [drawn.choices(range(256), k=drawn.randint(5, 400)) for _ in items]
        yield "all", [(each, drawn.choices(range(256), k=drawn.randint(3, 30))) for each in contexts for _ in range(4)]

    def records(self, items: Sequence[int], answers: Answers) -> list[Record]:
        return [{"sum": float(each.sum())} for each in answers["all"]]

    def results(self, items: Sequence[int], records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
        return bootstrap.mean([record["sum"] for record in records]).rounded().to_json()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="few items, one round, and nothing is judged")
    short = parser.parse_args().short
    torch.set_num_threads(1)
    model, task = random_model(), Choices(100 if short else 1_000)
    items = task.items(model.vocabulary)
    ratios, read = [], 0
    for _ in range(1 if short else ROUNDS):
        cost = task_costs(model, {"choices": items}, {"choices": task})["choices"]
        start = time.process_time()
        run_task(model, task, items, Bootstrap(), name="choices")
        real, read = time.process_time() - start, cost.read
        ratios.append(cost.seconds / real)
        print(f"{read:,} tokens: predicted {cost.seconds:.1f} s, took {real:.1f} s of CPU time")
    predicted = statistics.median(ratios)
    ratio = max(predicted, 1 / predicted)
    result = {"name": "evaluation_cost", "ratio": round(ratio, 4), "predicted_over_real": round(predicted, 4)}
    print(json.dumps(result | {"tokens": read, "limit": LIMIT, "better": "lower"}))
    raise SystemExit(0 if short or ratio <= LIMIT else 1)


def random_model() -> LanguageModel:
    vocabulary = Vocabulary(num_text_ids=257, num_speech_ids=1024, end_of_document=256)
    torch.manual_seed(0)
    shape = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    network = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary.size, **shape, **heads))
    return LanguageModel(network=network.eval(), tokenizer=TextTokenizer.load("bytes"), vocabulary=vocabulary)


if __name__ == "__main__":
    main()
