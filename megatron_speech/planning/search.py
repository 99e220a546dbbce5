"""All valid layouts of a model on a number of GPUs, the fastest that fit, and why their neighbours lose.

A layout is tensor x pipeline (x chunks) x context parallelism, a micro-batch and what is recomputed; the global batch
stays. Tensor parallel ranks stay in one NVLink domain. Memory is checked first, because it is cheaper than time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from megatron_speech.planning.job import Job, Recompute
from megatron_speech.planning.memory import GIB, Memory, fits, fullest
from megatron_speech.planning.scalars import scalars
from megatron_speech.planning.step_time import StepTime, step_time, tokens_per_second

MOST_TENSOR = 8
MOST_CHUNKS = 16
"""Chunks per stage that are tried at most."""
SHORTEST_PART = 1024
"""Tokens of a row that a context parallel rank keeps at least."""
ROOM = 0.05
"""Share of the memory that a recommended layout leaves free: 95 % of published peaks lie closer to the prediction."""
RECOMPUTES: tuple[Recompute, ...] = ("none", "mlp", "full")
DIMENSIONS = ("tensor", "pipeline", "virtual", "context", "micro_batch", "recompute")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a job is predicted to need and to reach; never a measurement."""

    job: Job
    step: StepTime
    """Seconds by component, with the stack's fitted scalar."""
    speed: float
    """Tokens per second and GPU."""
    low: float
    high: float
    """Ends of the 90 % interval of `speed`."""
    stage: int
    """Pipeline stage that needs most memory."""
    memory: Memory
    """Of that stage."""

    @property
    def fits(self) -> bool:
        """Whether every stage fits its GPU."""
        return self.memory.needed <= self.job.gpu.memory_gib * GIB


def predict(job: Job) -> Prediction:
    """Predict time and memory of one job."""
    kept = scalars()
    factor = kept.factor(job.stack.name, job.precision)
    step = step_time(job).scaled(1 / factor)
    speed = tokens_per_second(job, step.total)
    low, high = kept.interval(job.stack.name)
    stage, memory = fullest(job)
    return Prediction(job=job, step=step, speed=speed, low=speed * low, high=speed * high, stage=stage, memory=memory)


def layouts(job: Job) -> Iterator[Job]:
    """Every valid layout of `job`'s model, batch and precision on its GPUs."""
    for tensor in _powers(min(MOST_TENSOR, job.gpu.node)):
        if not _splits(job, tensor):
            continue
        for pipeline in _divisors(job.shape.layers):
            for context in _powers(max(1, job.sequence // SHORTEST_PART)):
                if job.gpus % (tensor * pipeline * context) == 0:
                    placed = replace(
                        job,
                        tensor=tensor,
                        pipeline=pipeline,
                        context=context,
                        sequence_parallel=tensor > 1,
                        chunk_layers=None,
                    )
                    yield from _batched(placed)


def _batched(job: Job) -> Iterator[Job]:
    """The micro-batches, chunks and recomputations of a layout."""
    per_copy, rest = divmod(job.global_batch, job.copies)
    if rest or not per_copy:
        return
    for micro_batch in _powers(8):
        if per_copy % micro_batch:
            continue
        count = per_copy // micro_batch
        chunks = _divisors(job.shape.layers // job.pipeline) if job.pipeline > 1 and count % job.pipeline == 0 else [1]
        for virtual in chunks:
            if virtual <= MOST_CHUNKS:
                for recompute in RECOMPUTES:
                    yield replace(
                        job, micro_batch=micro_batch, virtual=virtual, recompute=recompute, recompute_layers=None
                    )


def _splits(job: Job, tensor: int) -> bool:
    """Whether so many tensor parallel ranks divide heads, MLP and vocabulary, as `ParallelLayout.check_model` asks."""
    shape = job.shape
    groups = shape.groups % tensor == 0 or tensor % shape.groups == 0
    return groups and not any(size % tensor for size in (shape.heads, shape.ffn, shape.joined, shape.vocabulary))


def search(job: Job, *, keep: int = 10) -> list[Prediction]:
    """The fastest layouts that fit with some room, best first; where none has room, those that fit without.

    ValueError says by how much the smallest layout exceeds the memory.
    """
    limit = job.gpu.memory_gib * GIB
    roomy: list[Job] = []
    tight: list[tuple[float, Job]] = []
    done: set[tuple[int, ...]] = set()
    for candidate in layouts(job):
        placed = tuple(getattr(candidate, name) for name in DIMENSIONS if name != "recompute")
        if placed in done:
            continue
        needed = fullest(candidate)[1].needed
        if needed <= limit * (1 - ROOM):
            done.add(placed)  # recomputing more than must be never pays
            roomy.append(candidate)
        elif not roomy:
            tight.append((needed, candidate))
    found = roomy or [candidate for needed, candidate in tight if needed <= limit]
    if not found:
        raise ValueError(_no_layout(job, tight))
    timed = sorted(((step_time(candidate).total, candidate) for candidate in found), key=lambda pair: pair[0])
    return [predict(candidate) for _, candidate in timed[:keep]]


def _no_layout(job: Job, tight: list[tuple[float, Job]]) -> str:
    """Why nothing fits: no layout divides, or by how much the smallest exceeds the memory."""
    if not tight:
        return (
            f"gpus={job.gpus}: no layout divides the model and train.global_batch_size={job.global_batch}; change one"
        )
    needed, smallest = min(tight, key=lambda pair: pair[0])
    return (
        f"gpus={job.gpus} of {job.gpu.name}: no layout fits; the smallest ({describe(smallest)}) needs "
        f"{needed / GIB:.1f} GiB of {job.gpu.memory_gib:g} GiB, {needed / GIB - job.gpu.memory_gib:.1f} too much; "
        "use more GPUs, or GPUs with more memory"
    )


def describe(job: Job) -> str:
    """A layout in one line, without what it leaves undivided or does not recompute."""
    chunks = f" x {job.virtual} chunks" if job.virtual > 1 else ""
    split = {"tensor": job.tensor, "pipeline": job.pipeline, "context": job.context}
    parts = [f"{name} {size}{chunks if name == 'pipeline' else ''}" for name, size in split.items() if size > 1]
    parts += [f"data {job.copies}", f"micro-batch {job.micro_batch}"]
    return ", ".join([*parts, *([f"recompute {job.recompute}"] if job.recompute != "none" else [])])


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A layout that differs from the best in one dimension, and why it loses."""

    layout: str
    change: str
    reason: str


def neighbours(best: Job) -> list[Neighbour]:
    """The layouts that differ from the best in one dimension, each with its reason."""
    at_best = predict(best)
    found = []
    for candidate in layouts(best):
        changed = [name for name in DIMENSIONS if getattr(candidate, name) != getattr(best, name)]
        if len(changed) == 1:
            name = changed[0]
            change = f"{name.replace('_', '-')} {getattr(best, name)} -> {getattr(candidate, name)}"
            found.append(Neighbour(layout=describe(candidate), change=change, reason=_why(at_best, predict(candidate))))
    return found


def _why(best: Prediction, other: Prediction) -> str:
    if not other.fits:
        excess = other.memory.needed / GIB - other.job.gpu.memory_gib
        return f"exceeds memory by {excess:.1f} GiB on stage {other.stage}, mostly {other.memory.dominant}"
    per_token = [prediction.step.total * prediction.job.gpus for prediction in (best, other)]
    slower = per_token[1] / per_token[0] - 1
    more = {name: value - vars(best.step)[name] for name, value in vars(other.step).items()}
    worst = max(more, key=lambda name: more[name])
    return f"{100 * slower:.1f} % slower, mostly {worst} (+{1000 * more[worst]:.0f} ms per step)"


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Strong scaling: the same global batch on more GPUs, in the best layout's model parallel part."""

    gpus: int
    speed: float
    efficiency: float
    """Speed per GPU over that on the fewest GPUs."""


def strong_scaling(best: Job) -> list[Scaling]:
    """Speed on a half, a quarter ... and twice, four times ... the GPUs of `best`.

    Points that do not fit are left out; the curve ends where the batch no longer divides.
    """
    replica = best.tensor * best.pipeline * best.context
    found: list[Scaling] = []
    copies = best.copies // (best.copies & -best.copies)  # its odd part
    while best.global_batch % (copies * best.micro_batch) == 0 and copies * best.micro_batch <= best.global_batch:
        job = replace(best, gpus=replica * copies)
        if fits(job) and (job.virtual == 1 or job.micro_batches % job.pipeline == 0):
            speed = predict(job).speed
            first = found[0].speed if found else speed
            found.append(Scaling(gpus=job.gpus, speed=speed, efficiency=speed / first))
        copies *= 2
    return found


def falls_below(curve: list[Scaling], share: float) -> int | None:
    """Fewest GPUs at which the efficiency lies below `share`; None if it does not fall so far."""
    return next((point.gpus for point in curve if point.efficiency < share), None)


def _powers(most: int) -> list[int]:
    return [2**exponent for exponent in range(most.bit_length()) if 2**exponent <= most]


def _divisors(number: int) -> list[int]:
    return [each for each in range(1, number + 1) if number % each == 0]
