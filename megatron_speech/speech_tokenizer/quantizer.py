"""Vector quantisation: finds nearest codes and updates the codebook by running averages (EMA).

The codebook has no gradient (arXiv 2411.17607). Each code moves to the mean of the vectors assigned to it,
``ema_weight / ema_count``, with Laplace smoothing of the counts. At intervals, dead codes are restarted: they move to
random vectors of the batch. Sums are all-reduced, so every rank keeps the same codebook. Limitation: codes must start
near the data (`kmeans`), or most stay dead.

Shapes: N vectors, D width, K codes.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn

LAPLACE = 1e-5
"""Added to the counts, so that a code without vectors does not divide by zero."""


def nearest_codes(vectors_ND: torch.Tensor, codebook_KD: torch.Tensor, *, chunk: int = 4096) -> torch.Tensor:
    """Index of the code at the smallest Euclidean distance, int64 [N]; `chunk` vectors at a time, to bound memory."""
    squares_K = codebook_KD.square().sum(dim=1)
    # The term |v|^2 is equal for all codes, so it is omitted.
    parts = [(squares_K - 2.0 * part @ codebook_KD.T).argmin(dim=1) for part in vectors_ND.split(chunk)]
    return torch.cat(parts) if parts else vectors_ND.new_zeros(0, dtype=torch.long)


def kmeans(vectors_ND: torch.Tensor, num_codes: int, *, iterations: int, generator: torch.Generator) -> torch.Tensor:
    """Codebook [num_codes, D] by k-means (Lloyd), from random distinct rows; empty codes restart at random rows.

    Raises ValueError if there are fewer vectors than codes.
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
    """Number of vectors assigned to each code, float [K], and their sums [K, D]."""
    counts_K = vectors_ND.new_zeros(num_codes).index_add_(0, codes_N, vectors_ND.new_ones(len(codes_N)))
    sums_KD = vectors_ND.new_zeros(num_codes, vectors_ND.shape[1]).index_add_(0, codes_N, vectors_ND)
    return counts_K, sums_KD


def perplexity(counts_K: torch.Tensor) -> float:
    """Effective number of codes in use: the exponential of the entropy of their shares, 1 to K."""
    shares_K = counts_K.double() / counts_K.sum()
    return float(torch.special.entr(shares_K).sum().exp())


class Codebook(nn.Embedding):
    """Code vectors [K, D], without gradient."""

    def __init__(self, num_codes: int, width: int) -> None:
        super().__init__(num_codes, width)
        self.weight.requires_grad_(False)


class EmaUpdate:
    """Updates a codebook by running averages after each training step.

    The averages are buffers of the encoder, so they are saved with a model. `num_updates` and `idle_K` belong to
    training only.
    """

    def __init__(
        self,
        codebook: Codebook,
        ema_count: torch.Tensor,
        ema_weight: torch.Tensor,
        *,
        decay: float,
        restart_interval: int | None,
        seed: int,
        num_updates: int = 0,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        self._group = group  # process group of the ranks that update together; None for all ranks
        self.codebook, self.ema_count, self.ema_weight = codebook, ema_count, ema_weight
        self.decay, self.restart_interval, self.seed = decay, restart_interval, seed
        self.num_updates = num_updates
        """Updates since the start of training; with the seed it determines the restarts."""
        self.interval = restart_interval or 100
        """Number of updates without a vector after which a code is dead."""
        # Counted, because averages cannot tell: a large one takes hundreds of updates to decay, a rare code's is small.
        self.idle_K = torch.full_like(ema_count, self.interval, dtype=torch.long)
        """Updates since a code last had a vector on any rank, or was restarted; starts at `interval`."""

    @torch.no_grad()
    def step(self, vectors_ND: torch.Tensor, codes_N: torch.Tensor, numbers_N: torch.Tensor) -> int:
        """Update the codebook; returns the number of dead codes that were restarted.

        Collective: every rank calls it, also without vectors.

        Args:
            vectors_ND: real (unpadded) states of this rank.
            codes_N: their codes.
            numbers_N: their numbers in the whole batch, 0, 1, ... over all ranks without a gap. So restarts do not
                depend on how the batch is divided.
        """
        # Counts and sums of all ranks enter the averages.
        vectors_ND = vectors_ND.float()
        counts_K, sums_KD = assignment_sums(vectors_ND, codes_N, self.codebook.num_embeddings)
        for part in (counts_K, sums_KD):
            _add_over_ranks(part, self._group)
        self.ema_count.mul_(self.decay).add_(counts_K, alpha=1 - self.decay)
        self.ema_weight.mul_(self.decay).add_(sums_KD, alpha=1 - self.decay)
        self.idle_K.add_(1).masked_fill_(counts_K > 0, 0)
        self.num_updates += 1
        # Restart dead codes.
        restarted = 0
        if self.restart_interval is not None and self.num_updates % self.restart_interval == 0:
            restarted = self._restart(vectors_ND, numbers_N, total=int(counts_K.sum(dtype=torch.float64)))
        # New codebook: averages of the vectors, with smoothed counts.
        mass = self.ema_count.sum()
        smooth_K = (self.ema_count + LAPLACE) / (mass + LAPLACE * len(self.ema_count)) * mass
        self.codebook.weight.copy_(self.ema_weight / smooth_K[:, None])
        return restarted

    def dead(self) -> torch.Tensor:
        """Mask of dead codes, bool [K]: no vector in the last `interval` updates, or yet in the first interval."""
        return self.idle_K >= self.interval

    def _restart(self, vectors_ND: torch.Tensor, numbers_N: torch.Tensor, *, total: int) -> int:
        """Move dead codes to random vectors, out of `total` on all ranks; returns the number of moved codes.

        A vector may be drawn twice. Without vectors nothing moves.
        """
        # All ranks draw the same vectors.
        dead = self.dead().nonzero().flatten()
        if not total or not len(dead):
            return 0
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.num_updates)
        chosen = torch.randint(total, (len(dead),), generator=generator).to(vectors_ND.device)
        # Each drawn vector is on one rank; the others add zeros.
        place_of = torch.full((total,), -1, device=vectors_ND.device)
        place_of[numbers_N] = torch.arange(len(numbers_N), device=vectors_ND.device)
        places = place_of[chosen]
        rows = vectors_ND.new_zeros(len(dead), vectors_ND.shape[1])
        rows[places >= 0] = vectors_ND[places[places >= 0]]
        _add_over_ranks(rows, self._group)
        self.ema_weight[dead] = rows
        self.ema_count[dead] = 1.0
        self.idle_K[dead] = 0
        return len(dead)


def _add_over_ranks(values: torch.Tensor, group: dist.ProcessGroup | None) -> None:
    if dist.is_initialized():
        dist.all_reduce(values, group=group)
