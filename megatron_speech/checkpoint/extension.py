"""Draws new rows of an embedding from the distribution of the old text rows.

New rows of zeros or of plain noise would get far too much of the softmax, or nothing. So they are drawn from a normal
distribution with the mean and covariance of the old rows, which gives new tokens typical logits. See Hewitt (2021),
"Initializing New Word Embeddings for Pretrained Language Models". The covariance's symmetric square root comes from its
eigenvalues. Tiny eigenvalues, which are rounding errors, become 0, so there may be fewer rows than dimensions.

Cost: one eigendecomposition in float64, about a minute at 4096 dimensions.

Letters: V rows, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from megatron_speech.vocabulary import Vocabulary

_BLOCK_ROWS = 8192  # rows converted to float64 at once: a large embedding is never in float64 as a whole


def extend_embedding(old_rows: Tensor, *, vocabulary: Vocabulary, seed: int) -> Tensor:
    """Grow an embedding to [padded_size, D]: old rows bit-equal, new rows drawn, padding zero.

    The result depends only on the arguments, not on a global generator.

    Args:
        old_rows: rows of the text ids [num_text_ids, D], or of all ids [size, D]; ValueError for another number.
    """
    if old_rows.shape[0] not in (vocabulary.num_text_ids, vocabulary.size):
        raise ValueError(
            f"vocabulary: num_text_ids={vocabulary.num_text_ids} but the model's embedding has "
            f"{old_rows.shape[0]} rows; use the text tokenizer that belongs to the model"
        )
    padding = old_rows.new_zeros(vocabulary.padded_size - vocabulary.size, old_rows.shape[1])
    if old_rows.shape[0] == vocabulary.size:
        return torch.cat([old_rows, padding])
    drawn = draw_rows(old_rows, vocabulary.size - vocabulary.num_text_ids, seed=seed).to(old_rows.dtype)
    return torch.cat([old_rows, drawn, padding])


def draw_rows(rows_VD: Tensor, num_new: int, *, seed: int) -> Tensor:
    """Draw [num_new, D] float64 from the normal distribution with the mean and covariance of `rows_VD`."""
    num_old, width = rows_VD.shape
    blocks = rows_VD.detach().cpu().split(_BLOCK_ROWS)
    mean = sum((block.double().sum(0) for block in blocks), torch.zeros(width, dtype=torch.float64)) / num_old
    covariance = torch.zeros(width, width, dtype=torch.float64)
    for block in blocks:
        centred = block.double() - mean
        covariance.addmm_(centred.T, centred, alpha=1 / num_old)
    values, vectors = torch.linalg.eigh(covariance)
    # The symmetric root does not depend on the signs of the eigenvectors, which differ between solvers.
    values[values < values[-1] * width * torch.finfo(values.dtype).eps] = 0
    root = (vectors * values.sqrt()) @ vectors.T
    noise = torch.randn(num_new, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    rows: Tensor = mean + noise @ root
    return rows
