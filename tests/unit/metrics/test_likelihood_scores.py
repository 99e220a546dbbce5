"""Scores from log-probabilities by token are those of lm-evaluation-harness, of slamkit and of plain arithmetic."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from megatron_speech.metrics.likelihood_scores import SCORES, CandidateScores, credit_of

WORDS = ("Paris", "São Paulo", "北京", "the town", "x")


def questions(count: int, *, seed: int = 0) -> list[tuple[list[CandidateScores], int]]:
    drawn = random.Random(seed)

    def log_probabilities() -> list[float]:
        return [-drawn.expovariate(0.5) for _ in range(drawn.randrange(1, 9))]

    return [
        (
            [
                CandidateScores(
                    tokens=log_probabilities(),
                    context=log_probabilities(),
                    alone=log_probabilities(),
                    text=" ".join(drawn.choices(WORDS, k=drawn.randrange(1, 6))),
                    seconds=drawn.uniform(0.5, 4),
                )
                for _ in range(4)
            ],
            drawn.randrange(4),
        )
        for _ in range(count)
    ]


def test_scores_of_a_known_candidate():
    candidate = CandidateScores(tokens=[-1.0, -3.0], context=[-2.0, -4.0], alone=[-6.0], text="né", seconds=0.5)
    values = {name: score(candidate) for name, score in SCORES.items()}
    assert values == {
        "sum": -4,
        "per_token": -2,
        "per_character": -2,
        "per_byte": pytest.approx(-4 / 3),
        "per_second": -8,
        "whole_mean": -2.5,
        "pmi": 2,
    }


def test_a_score_without_its_measure_is_unknown():
    bare = CandidateScores(tokens=[-1.0])
    unknown = {name for name, score in SCORES.items() if score(bare) is None}
    assert unknown == {"per_character", "per_byte", "per_second", "pmi"}
    assert credit_of([bare, bare], 0, "pmi") is None and credit_of([bare, bare], 0, "sum") == 0.5


def test_accuracies_are_those_that_lm_evaluation_harness_defines():
    for candidates, right in questions(500):
        likelihoods = np.array([sum(each.tokens) for each in candidates])
        characters = np.array([float(len(each.text)) for each in candidates])
        size = np.array([float(len(each.text.encode("utf-8"))) for each in candidates])
        unconditional = np.array([sum(each.alone) for each in candidates])
        assert credit_of(candidates, right, "sum") == float(np.argmax(likelihoods) == right)
        assert credit_of(candidates, right, "per_character") == float(np.argmax(likelihoods / characters) == right)
        assert credit_of(candidates, right, "per_byte") == float(np.argmax(likelihoods / size) == right)
        assert credit_of(candidates, right, "pmi") == float(np.argmax(likelihoods - unconditional) == right)


def test_accuracies_are_those_that_lm_evaluation_harness_computes(tmp_path: Path):
    pytest.importorskip("lm_eval", reason="needs the extra [lm-eval]")
    import lm_eval
    from lm_eval.api.model import LM
    from lm_eval.api.task import ConfigurableTask

    asked = questions(300)
    known: dict[tuple[str, str], float] = {}
    documents = []
    for number, (candidates, right) in enumerate(asked):
        # Texts that occur once, so that a candidate alone tells its question.
        named = [replace(each, text=f"{each.text} {number}-{place}") for place, each in enumerate(candidates)]
        asked[number] = named, right
        known |= {(f"q{number}", f" {each.text}"): each.likelihood for each in named}
        known |= {("", f" {each.text}"): sum(each.alone) for each in named}
        documents.append({"question": f"q{number}", "choices": [each.text for each in named], "gold": right})
    data = tmp_path / "questions.jsonl"
    data.write_text("".join(json.dumps(document) + "\n" for document in documents))

    class Known(LM):
        def loglikelihood(self, requests):
            return [(known[request.args], False) for request in requests]

        def loglikelihood_rolling(self, requests):
            raise NotImplementedError

        def generate_until(self, requests):
            raise NotImplementedError

    metrics = {"acc": "sum", "acc_norm": "per_character", "acc_bytes": "per_byte", "acc_mutual_info": "pmi"}
    config = {
        "task": "choices",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "question",
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in metrics],
    }
    found = lm_eval.simple_evaluate(model=Known(), tasks=[ConfigurableTask(config=config)], bootstrap_iters=0)
    for metric, score in metrics.items():
        credits = [credit_of(candidates, right, score) for candidates, right in asked]
        assert found["results"]["choices"][f"{metric},none"] == pytest.approx(sum(credits) / len(credits), abs=1e-12)
        by_item = {sample["doc_id"]: sample[metric] for sample in found["samples"]["choices"]}
        assert [by_item[number] for number in range(len(asked))] == credits
