"""Likelihood in batches that share contexts equals one plain forward pass per request."""

import numpy as np
import pytest
import torch

from megatron_speech.inference.model import LanguageModel

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


def test_an_empty_side_is_named(model: LanguageModel) -> None:
    with pytest.raises(ValueError, match="request 1 has an empty context or continuation"):
        model.token_log_probabilities([([1], [2]), ([], [2])])


def test_a_missing_folder_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="not a Hugging Face folder"):
        LanguageModel.load(tmp_path / "nothing")
