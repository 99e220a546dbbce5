"""Vector quantisation: the nearest code, a codebook that follows its data by running averages, no dead codes.

The codebook has no gradient (arXiv 2411.17607): each code drifts to the mean of the vectors assigned to it,
``ema_weight / ema_count``, with Laplace smoothing of the counts, and every so often codes nobody chose are put onto
vectors of the batch. Sums are all-reduced, so that every rank keeps the same codebook. Price: codes need a start near
the data (`kmeans`), else most stay dead. Legend: N vectors, D width, K codes.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

LAPLACE = 1e-5
"""Smoothing of the counts, so that a code without vectors does not divide by zero."""


def nearest_codes(vectors_ND: torch.Tensor, codebook_KD: torch.Tensor, *, chunk: int = 4096) -> torch.Tensor:
    """Index of the code at the least Euclidean distance, int64 [N]; `chunk` vectors at a time bound the memory."""
    squares_K = codebook_KD.square().sum(dim=1)
    # |v|^2 is the same for every code, so it is left out.
    parts = [(squares_K - 2.0 * part @ codebook_KD.T).argmin(dim=1) for part in vectors_ND.split(chunk)]
    return torch.cat(parts) if parts else vectors_ND.new_zeros(0, dtype=torch.long)


def kmeans(vectors_ND: torch.Tensor, num_codes: int, *, iterations: int, generator: torch.Generator) -> torch.Tensor:
    """Codebook [num_codes, D] by Lloyd's iterations from a random choice of distinct rows; empty codes are reseeded.

    ValueError if there are fewer vectors than codes.
    """
    if len(vectors_ND) < num_codes:
        raise ValueError(
            f"codebook_size={num_codes} needs at least as many frames of speech, but there are {len(vectors_ND)}; "
            "use a smaller codebook or more audio"
        )
    start = torch.randperm(len(vectors_ND), generator=generator)[:num_codes]
    codebook_KD = vectors_ND[start].clone()
    for _ in range(iterations):
        codes_N = nearest_codes(vectors_ND, codebook_KD)
        counts_K, sums_KD = assignment_sums(vectors_ND, codes_N, num_codes)
        filled_K = counts_K > 0
        codebook_KD[filled_K] = sums_KD[filled_K] / counts_K[filled_K, None]
        num_empty = int((~filled_K).sum())
        codebook_KD[~filled_K] = vectors_ND[torch.randint(len(vectors_ND), (num_empty,), generator=generator)]
    return codebook_KD


def assignment_sums(
    vectors_ND: torch.Tensor, codes_N: torch.Tensor, num_codes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """How many vectors chose each code, float [K], and their sum [K, D]."""
    counts_K = vectors_ND.new_zeros(num_codes).index_add_(0, codes_N, vectors_ND.new_ones(len(codes_N)))
    sums_KD = vectors_ND.new_zeros(num_codes, vectors_ND.shape[1]).index_add_(0, codes_N, vectors_ND)
    return counts_K, sums_KD


def perplexity(counts_K: torch.Tensor) -> float:
    """Codes in effective use: the exponential of the entropy of their shares, 1 to K."""
    shares_K = counts_K.double() / counts_K.sum()
    return float(torch.special.entr(shares_K).sum().exp())


class Codebook(nn.Embedding):
    """Codes [K, D] without gradient."""

    def __init__(self, num_codes: int, width: int) -> None:
        super().__init__(num_codes, width)
        self.weight.requires_grad_(False)


class EmaUpdate:
    """Moves a codebook after each training step; its state lives in the encoder's buffers, so checkpoints carry it."""

    def __init__(
        self,
        codebook: Codebook,
        ema_count: torch.Tensor,
        ema_weight: torch.Tensor,
        *,
        decay: float,
        restart_interval: int | None,
        seed: int,
    ) -> None:
        self.codebook, self.ema_count, self.ema_weight = codebook, ema_count, ema_weight
        self.decay, self.restart_interval = decay, restart_interval
        self.generator = torch.Generator().manual_seed(seed)
        self.num_updates = 0
        self.num_restarted = 0

    @torch.no_grad()
    def step(self, vectors_ND: torch.Tensor, codes_N: torch.Tensor) -> None:
        """Update from this rank's unpadded vectors and their codes; every rank must call it, also without vectors."""
        counts_K, sums_KD = assignment_sums(vectors_ND.float(), codes_N, self.codebook.num_embeddings)
        for total in (counts_K, sums_KD):
            if dist.is_initialized():
                dist.all_reduce(total)
        self.ema_count.mul_(self.decay).add_(counts_K, alpha=1 - self.decay)
        self.ema_weight.mul_(self.decay).add_(sums_KD, alpha=1 - self.decay)
        self.num_updates += 1
        if self.restart_interval is not None and self.num_updates % self.restart_interval == 0:
            self._restart(vectors_ND.float())
        total = self.ema_count.sum()
        smooth_K = (self.ema_count + LAPLACE) / (total + LAPLACE * len(self.ema_count)) * total
        self.codebook.weight.copy_(self.ema_weight / smooth_K[:, None])

    def _restart(self, vectors_ND: torch.Tensor) -> None:
        """Put codes unused for a whole interval onto random vectors of all ranks.

        Vectors may repeat, so more dead codes than vectors is no error; without any vector the codes stay as they are.
        """
        assert self.restart_interval is not None
        # A single choice, `interval` updates ago, has decayed to this: below it the code was not chosen since.
        dead_K = (self.ema_count < (1 - self.decay) * self.decay**self.restart_interval).nonzero().flatten()
        candidates_ND = _gather_rows(vectors_ND)
        if not len(candidates_ND):
            return
        choice = torch.randint(len(candidates_ND), (len(dead_K),), generator=self.generator)
        self.ema_weight[dead_K] = candidates_ND[choice.to(candidates_ND.device)]
        self.ema_count[dead_K] = 1.0
        self.num_restarted += len(dead_K)


def _gather_rows(rows_ND: torch.Tensor) -> torch.Tensor:
    """The rows of every rank, in rank order; ranks may hold different numbers."""
    if not dist.is_initialized():
        return rows_ND
    num = torch.tensor([len(rows_ND)], device=rows_ND.device)
    nums = [torch.zeros_like(num) for _ in range(dist.get_world_size())]
    dist.all_gather(nums, num)
    longest = int(torch.stack(nums).max())
    padded = F.pad(rows_ND, (0, 0, 0, longest - len(rows_ND)))
    gathered = [torch.zeros_like(padded) for _ in nums]
    dist.all_gather(gathered, padded)
    return torch.cat([rows[: int(count)] for rows, count in zip(gathered, nums, strict=True)])
