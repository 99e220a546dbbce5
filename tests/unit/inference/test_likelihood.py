"""Likelihood in batches that share contexts equals one plain forward pass per request."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from megatron_speech.inference.model import LanguageModel, planned_batches

CONTEXTS = ([5], [70, 71, 72, 73], [9, 8, 7])


def _requests() -> list[tuple[list[int], list[int]]]:
    generator = np.random.default_rng(0)
    return [(context, generator.integers(0, 300, size=length).tolist()) for length in (1, 6, 3) for context in CONTEXTS]


def _plain(model: LanguageModel, context: list[int], continuation: list[int]) -> np.ndarray:
    with torch.no_grad():
        logits = model.network(torch.tensor([context + continuation])).logits[0, len(context) - 1 : -1]
    return torch.log_softmax(logits, dim=-1)[range(len(continuation)), continuation].numpy()


@pytest.mark.parametrize("tokens_per_batch", [1, 24, 4096])
def test_shared_contexts_and_padding_change_nothing(model: LanguageModel, tokens_per_batch: int) -> None:
    requests = _requests()
    scores = model.token_log_probabilities(requests, tokens_per_batch=tokens_per_batch)
    for request, score in zip(requests, scores, strict=True):
        np.testing.assert_allclose(score, _plain(model, *request), atol=1e-4)


def test_sums_and_counts(model: LanguageModel) -> None:
    requests = _requests()
    for (context, continuation), score in zip(requests, model.token_log_probabilities(requests), strict=True):
        assert len(score) == len(continuation)
        assert score.sum() == pytest.approx(_plain(model, context, continuation).sum(), abs=1e-4)


def test_equal_requests_get_their_own_answer(model: LanguageModel) -> None:
    first, second = model.token_log_probabilities([([1, 2], [3]), ([1, 2], [3])])
    assert first == second and len(first) == 1


def test_equal_continuations_of_a_context_have_equal_scores_to_the_bit(model: LanguageModel) -> None:
    requests = [([5, 6, 7], each) for each in ([1, 2, 3], [9] * 30, [1, 2, 3], [8] * 7, [1, 2, 3])]
    first, _, second, _, third = model.token_log_probabilities(requests)
    assert first.tolist() == second.tolist() == third.tolist()
    (batch,) = planned_batches(requests)
    assert (batch.read, batch.scored) == (3 + 3 + 30 + 7, 3 + 30 + 7) and sorted(batch.requests) == [0, 1, 2, 3, 4]


def test_an_empty_continuation_has_no_scores(model: LanguageModel) -> None:
    assert [len(each) for each in model.token_log_probabilities([([1], []), ([1], [2])])] == [0, 1]
    assert [len(each) for each in model.token_log_probabilities([([1], [])])] == [0]


def test_an_empty_context_is_named(model: LanguageModel) -> None:
    with pytest.raises(ValueError, match="request 1 has an empty context; give each at least one id"):
        model.token_log_probabilities([([1], [2]), ([], [2])])


def test_shared_contexts_in_float64_are_a_plain_pass_to_five_digits(model: LanguageModel) -> None:
    drawn = np.random.default_rng(1)
    contexts = [drawn.integers(0, 300, size=length).tolist() for length in (120, 40, 300)]
    requests = [(context, drawn.integers(0, 300, size=n).tolist()) for context in contexts for n in (10, 60, 25, 31)]
    exact = replace(model, network=copy.deepcopy(model.network).double())
    for request, score in zip(requests, exact.token_log_probabilities(requests), strict=True):
        np.testing.assert_allclose(score, _plain(exact, *request), rtol=0, atol=1e-5)


def test_a_missing_folder_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="not a Hugging Face folder"):
        LanguageModel.load(tmp_path / "nothing")
