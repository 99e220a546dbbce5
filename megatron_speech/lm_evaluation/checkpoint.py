"""A training checkpoint, scored and continued by megatron-core's model, over the ranks of any layout.

Rank 0 leads: the harness runs there alone. The other ranks follow, each with its part of the model. For every pass
rank 0 sends them the rows, and gets back what the last stage measured. So no task has to be read or timed alike on all
ranks. Cost: writing keeps no keys and values, so each new token reads its whole context again.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.hf_export import find_checkpoint
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.grouping import grouped, grouped_by_size
from megatron_speech.inference.model import log_probabilities_and_choices
from megatron_speech.inference.sampling import next_ids
from megatron_speech.inference.slot import AnswerSettings
from megatron_speech.lm_evaluation.network import Enough, Scored
from megatron_speech.lm_evaluation.packed_rows import PackedRows
from megatron_speech.model.forward import forward
from megatron_speech.model.precision import resolve_precision
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.platform import device as devices
from megatron_speech.progress import Progress
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.training.likelihood import load_scored_model
from megatron_speech.training.step import ParallelModel
from megatron_speech.vocabulary import Vocabulary

TOKENS_PER_PASS = 4096
PATIENCE_S = 24 * 3600.0
"""How long ranks wait for rank 0, which may read and score tasks for hours between two passes."""


@dataclass
class Checkpoint:
    """A `Network` around this rank's part of a model."""

    model: ParallelModel
    tokenizer: TextTokenizer
    max_positions: int
    _whole: bool = field(default=True, init=False)
    """False during a pass: ranks that wait within it cannot be told to leave."""

    @classmethod
    def load(
        cls,
        folder: Path,
        vocabulary_folder: Path,
        *,
        parallel: ParallelConfig,
        precision: PrecisionConfig,
        world: tuple[int, int],
        init_method: str | None = None,
    ) -> Checkpoint:
        """Join the `world` (rank, number of ranks) and load this rank's part of the model. Collective.

        Raises ValueError or FileNotFoundError if the layout does not fit the world, or for defective folders.
        """
        rank, world_size = world
        layout = ParallelLayout.of(parallel, world_size=world_size)
        if layout.model_parallel_size != world_size:
            raise ValueError(
                f"{world_size} ranks were started, but the layout has {layout.model_parallel_size}; start as many"
            )
        checkpoint = find_checkpoint(folder)
        shape = folders.read_model_config(checkpoint)
        groups.initialize(layout, seed=0, rank=rank, init_method=init_method, timeout_s=PATIENCE_S)
        with Progress(f"load {checkpoint}", late=True):
            resolved, _ = resolve_precision(precision)
            model = load_scored_model(checkpoint, vocabulary_folder, parallel=parallel, precision=resolved)
        for chunk in model.chunks:
            chunk.eval()
        tokenizer = TextTokenizer.load(vocabulary_folder)
        return cls(model=model, tokenizer=tokenizer, max_positions=shape.max_position_embeddings)

    @property
    def vocabulary(self) -> Vocabulary:
        """See `Network`."""
        return self.model.vocabulary

    @property
    def device(self) -> torch.device:
        """Of this rank."""
        return self.model.device

    def follow(self) -> None:
        """Take part in what rank 0 asks, until it calls `release`; for all other ranks."""
        while (rows := _told(None)) is not None:
            self._measure(rows)

    def release(self) -> None:
        """Let the other ranks leave, and leave the world; does nothing if a pass was broken off."""
        if dist.is_initialized() and self._whole:
            _told(None)
            groups.shutdown()

    def release_at_exit(self) -> None:
        """Call `release` when this process ends."""
        atexit.register(self.release)

    def score(self, requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Scored]:
        """See `Network`; rows of similar length are read together."""

        def size(number: int) -> int:
            return sum(map(len, requests[number]))

        order = sorted(range(len(requests)), key=size, reverse=True)
        scored: dict[int, Scored] = {}
        with Progress("lm_eval: score", unit="requests", total=len(requests)) as progress:
            for numbers in grouped_by_size(order, size=size, max_size=TOKENS_PER_PASS):
                measured = self._lead(PackedRows.of([requests[number] for number in numbers])).double()
                pieces = measured.split([len(requests[number][1]) for number in numbers])
                for number, piece in zip(numbers, pieces, strict=True):
                    scored[number] = float(piece[:, 0].sum()), bool(piece[:, 1].all())
                progress.add(len(numbers))
        return [scored[number] for number in range(len(requests))]

    def write(
        self, prompts: Sequence[Sequence[int]], settings: AnswerSettings, *, batch_size: int, enough: Enough
    ) -> list[list[int]]:
        """See `Network`; a batch is written to its end before the next one begins."""
        written: list[list[int]] = [[] for _ in prompts]
        with Progress("lm_eval: write", unit="answers", total=len(prompts)) as progress:
            for places in grouped(range(len(prompts)), batch_size):
                active = list(places)
                while active:
                    rows = [[*prompts[place], *written[place]] for place in active]
                    chosen = next_ids(
                        self._lead(PackedRows.next_of(rows)),
                        ids_A=None,
                        sampling=settings.sampling,
                        seeds=[settings.seed + place for place in active],
                        steps=[len(written[place]) for place in active],
                    )
                    for place, token in zip(active, chosen, strict=True):
                        written[place] += [] if token in settings.stop else [token]
                    active = [
                        place
                        for place, token in zip(active, chosen, strict=True)
                        if token not in settings.stop
                        and len(written[place]) < settings.max_new_tokens
                        and not enough(place, written[place])
                    ]
                progress.add(len(places))
        return written

    def _lead(self, rows: PackedRows) -> Tensor:
        """What the last stage measures of `rows`, from a pass over all ranks."""
        if len(rows.tokens) == 1:  # hidden states of one token alone look like logits (`model.forward`)
            rows = replace(rows, tokens=[*rows.tokens, 0], ends=[*rows.ends, 2])
        self._whole = False
        measured = self._measure(_told(rows))
        self._whole = True
        return measured

    @torch.no_grad()  # not inference_mode: stages receive tensors that ask for a gradient
    def _measure(self, rows: PackedRows) -> Tensor:
        """One pass, on all ranks: float32 [N, 2] for targets, else logits [N, V], on the CPU. Collective."""
        from megatron.core.pipeline_parallel import get_forward_backward_func

        found: list[Tensor] = []
        get_forward_backward_func()(
            forward_step_func=partial(_forward_step, found=found),
            data_iterator=[iter([rows]) for _ in self.model.chunks],
            model=list(self.model.chunks),
            num_microbatches=1,
            seq_length=len(rows.tokens),
            micro_batch_size=1,
            forward_only=True,
        )
        measured = torch.empty(len(rows.predictors), 2 if rows.targets else self.vocabulary.size, device=self.device)
        if found:
            logits_NV = _whole_logits(found[0][rows.predictors].float())[:, : self.vocabulary.size]
            targets = torch.tensor(rows.targets, device=self.device)
            measured.copy_(log_probabilities_and_choices(logits_NV, targets) if rows.targets else logits_NV)
        if groups.pipeline_group().size() > 1:
            dist.broadcast(measured, src=groups.last_stage_rank(), group=groups.pipeline_group())
        return measured.cpu()


def _told(rows: PackedRows | None) -> Any:
    """What rank 0 tells all: the rows of a pass, or None to leave. Collective."""
    if dist.get_world_size() == 1:
        return rows
    told = [rows]
    dist.broadcast_object_list(told, src=0, device=devices.device())
    return told[0]


def _forward_step(data: Iterator[PackedRows], model: nn.Module, *, found: list[Tensor]) -> tuple[Tensor, Any]:
    """Run the rows through one chunk; on the last stage, the schedule calls the returned function with the logits."""
    rows = next(data)
    here = devices.device()
    output = forward(
        model,
        tokens=torch.tensor([rows.tokens], device=here),
        labels=None,
        cu_seqlens=torch.tensor([0, *rows.ends], dtype=torch.int32, device=here),
        max_seqlen=rows.longest,
    )
    return output, partial(_keep, found=found)


def _keep(logits: Tensor, *, found: list[Tensor]) -> tuple[Tensor, Tensor, dict[str, Any]]:
    found.append(logits)
    return logits.new_zeros(()), torch.ones((), dtype=torch.int32, device=logits.device), {}


def _whole_logits(logits: Tensor) -> Tensor:
    """Logits [N, V] of all ids, padding behind them, from this rank's columns. Collective."""
    if groups.tensor_parallel_size() == 1:
        return logits
    parts = [torch.empty_like(logits) for _ in range(groups.tensor_parallel_size())]
    dist.all_gather(parts, logits.contiguous(), group=groups.tensor_parallel_group())
    return torch.cat(parts, dim=1)
