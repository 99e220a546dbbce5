"""While text is frozen, the rows that learn are those of tokens of ours, wherever they lie among the ids."""

from __future__ import annotations

import pytest
import torch

from megatron_speech.training import step
from megatron_speech.vocabulary import Vocabulary

APPENDED = Vocabulary(num_text_ids=20, num_speech_ids=6, padding_multiple=32)
MAPPED = Vocabulary(
    num_text_ids=20,
    num_speech_ids=6,
    padding_multiple=32,
    mapped_ids=(("<|begin_of_audio|>", 2), ("<|audio_0|>", 9), ("<|end_of_audio|>", 17)),
)


@pytest.mark.parametrize("vocabulary", [APPENDED, MAPPED])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_only_rows_of_our_tokens_keep_their_gradient(
    monkeypatch: pytest.MonkeyPatch, vocabulary: Vocabulary, ranks: int
) -> None:
    ours = set(vocabulary.token_ids.values())
    rows = vocabulary.padded_size // ranks
    for rank in range(ranks):
        monkeypatch.setattr(step.groups, "tensor_parallel_rank", lambda rank=rank: rank)
        for name, whole in (("embedding.word_embeddings.weight", False), ("decoder.final_layernorm.weight", True)):
            parameter = torch.nn.Parameter(torch.ones(rows, 3))
            parameter.main_grad = torch.ones(rows, 3)
            step.keep_new_rows(name, parameter, vocabulary)
            moved = {rank * rows + row for row in range(rows) if parameter.main_grad[row].any()}
            real = {number for number in moved if number < vocabulary.size}
            assert real == (set() if whole else {number for number in ours if number // rows == rank})
