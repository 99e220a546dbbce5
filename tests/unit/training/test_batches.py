"""Which rank reads which sample."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch

from megatron_speech.data.reading.batch import collate, to_device
from megatron_speech.data.shards.document import Row
from megatron_speech.training.batches import rows_until_end, sample_numbers
from megatron_speech.vocabulary import Vocabulary
from tests.toy_plans import SEQ_LENGTH, planned, stage


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("micro", [1, 2])
def test_ranks_share_a_global_batch_without_loss_or_repetition(ranks: int, micro: int) -> None:
    read = [
        sample_numbers(
            16,
            num_microbatches=8 // (ranks * micro),
            micro_batch_size=micro,
            data_parallel_rank=rank,
            data_parallel_size=ranks,
        )
        for rank in range(ranks)
    ]
    assert sorted(chain.from_iterable(chain.from_iterable(read))) == list(range(16, 24))


def test_behind_the_end_stand_rows_without_targets() -> None:
    rows = rows_until_end(_Reader(), [4, 5, 6, 9])
    assert [int(row.tokens[0]) for row in rows] == [4, 5, 5, 5]
    assert [row.context.tolist() for row in rows] == [[], [], [[0, 9]], [[0, 9]]]
    mask = to_device(collate(rows), Vocabulary(num_text_ids=9, num_speech_ids=0), torch.device("cpu")).loss_mask
    assert mask[:2].all() and not mask[2:].any()


class _Reader:
    """Six rows of nine tokens, each the number of its row."""

    plan = planned(stage(text={"tokens": 6 * SEQ_LENGTH}))

    def rows(self, numbers: list[int]) -> list[Row]:
        ends, context = np.array([0, 8], np.int32), np.zeros((0, 2), np.int32)
        return [
            Row(tokens=np.full(9, number, np.int32), cu_seqlens=ends, context=context, source=0) for number in numbers
        ]
