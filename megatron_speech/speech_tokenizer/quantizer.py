"""Vector quantisation: the nearest code, a codebook that follows its data by running averages, no dead codes.

The codebook has no gradient (arXiv 2411.17607): each code drifts to the mean of the vectors assigned to it,
``ema_weight / ema_count``, with Laplace smoothing of the counts, and every so often codes nobody chose are put onto
vectors of the batch. Sums are all-reduced, so that every rank keeps the same codebook. Price: codes need a start near
the data (`kmeans`), else most stay dead. Legend: N vectors, D width, K codes.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
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
    """Moves a codebook after each training step.

    Its averages live in the encoder's buffers, so every model carries them; the rest of its state, `num_updates` and
    `idle_K`, is training's own.
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
        self._group = group  # of the ranks that update together; None for all
        self.codebook, self.ema_count, self.ema_weight = codebook, ema_count, ema_weight
        self.decay, self.restart_interval, self.seed = decay, restart_interval, seed
        self.num_updates = num_updates
        """Updates since training began; restarts are a function of it and of the seed."""
        self.interval = restart_interval or 100
        """Updates without being chosen that make a code dead."""
        # Counted, not read off the averages: a large count takes hundreds of updates to decay, a rare code has a small
        # one while it lives.
        self.idle_K = torch.full_like(ema_count, self.interval, dtype=torch.long)
        """Updates since each code was last chosen, on any rank, or restarted; `interval` of one never chosen yet."""

    @torch.no_grad()
    def step(self, vectors_ND: torch.Tensor, codes_N: torch.Tensor, numbers_N: torch.Tensor) -> int:
        """Update from this rank's unpadded vectors and their codes; returns how many dead codes were restarted.

        `numbers_N` are the vectors' numbers among those of all ranks, 0 to the last without a gap: so a restart is the
        same however the batch is divided. Collective: every rank calls it, also without vectors.
        """
        vectors_ND = vectors_ND.float()
        counts_K, sums_KD = assignment_sums(vectors_ND, codes_N, self.codebook.num_embeddings)
        for part in (counts_K, sums_KD):
            _add_over_ranks(part, self._group)
        self.ema_count.mul_(self.decay).add_(counts_K, alpha=1 - self.decay)
        self.ema_weight.mul_(self.decay).add_(sums_KD, alpha=1 - self.decay)
        self.idle_K.add_(1).masked_fill_(counts_K > 0, 0)
        self.num_updates += 1
        restarted = 0
        if self.restart_interval is not None and self.num_updates % self.restart_interval == 0:
            restarted = self._restart(vectors_ND, numbers_N, total=int(counts_K.sum(dtype=torch.float64)))
        mass = self.ema_count.sum()
        smooth_K = (self.ema_count + LAPLACE) / (mass + LAPLACE * len(self.ema_count)) * mass
        self.codebook.weight.copy_(self.ema_weight / smooth_K[:, None])
        return restarted

    def dead(self) -> torch.Tensor:
        """Bool [K]: codes that nobody chose for a whole restart interval (100 updates where none is set).

        In the first interval: since training began.
        """
        return self.idle_K >= self.interval

    def _restart(self, vectors_ND: torch.Tensor, numbers_N: torch.Tensor, *, total: int) -> int:
        """Put dead codes onto random vectors, of `total` on all ranks.

        Vectors may repeat, so more dead codes than vectors is no error; without any vector the codes stay as they are.
        """
        dead = self.dead().nonzero().flatten()
        if not total or not len(dead):
            return 0
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.num_updates)
        chosen = torch.randint(total, (len(dead),), generator=generator).to(vectors_ND.device)
        place_of = torch.full((total,), -1, device=vectors_ND.device)
        place_of[numbers_N] = torch.arange(len(numbers_N), device=vectors_ND.device)
        places = place_of[chosen]
        rows = vectors_ND.new_zeros(len(dead), vectors_ND.shape[1])
        rows[places >= 0] = vectors_ND[places[places >= 0]]
        # Each chosen vector lies on one rank; the others add nothing.
        _add_over_ranks(rows, self._group)
        self.ema_weight[dead] = rows
        self.ema_count[dead] = 1.0
        self.idle_K[dead] = 0
        return len(dead)


def _add_over_ranks(values: torch.Tensor, group: dist.ProcessGroup | None) -> None:
    if dist.is_initialized():
        dist.all_reduce(values, group=group)
