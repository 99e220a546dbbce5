"""What a run eats and costs: tokens by kind, hours of speech, synthesis, storage, days, money, energy, failures.

Checkpoints are taken as often as loses least (Young and Daly): every sqrt(2 x write time x time between failures). The
goodput is what remains of the time after writing, lost work and restarts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from megatron_speech.config.inspection.plan_run import CorporaConfig, SiteConfig
from megatron_speech.planning.memory import checkpoint_bytes
from megatron_speech.planning.search import Prediction

ROW_BYTES = 12.0
"""Bytes that a row of a shard has beside its tokens."""
TOKEN_BYTES = 4.0
SHARD_ROWS = 32_000
HOUR = 3600.0
MONTH_HOURS = 730.0
PRICES = ("gpu_hour", "kilowatt_hour", "terabyte_month")
"""Items of a price file."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Tokens of one kind of data."""

    speech_tokens: float
    """That exist."""
    text_tokens: float
    """That exist."""
    epochs: float

    @property
    def seen(self) -> float:
        """Tokens that the run reads."""
        return (self.speech_tokens + self.text_tokens) * self.epochs


@dataclass(frozen=True, kw_only=True)
class Data:
    """Data of a run, and what it costs to make and to keep."""

    kinds: dict[str, Kind]
    seen: float
    """Tokens that the run reads."""
    speech_per_replaced_text: float
    """Speech tokens that stand for one text token of an interleaved document."""
    synthesis_gpu_hours: float
    shards: int
    shard_bytes: float


def data_of(corpora: CorporaConfig, *, tokens: float | None, sequence: int) -> Data:
    """Tokens by kind. Without stated epochs, plain text fills what the others leave of `tokens`."""
    per_text = corpora.frame_rate / corpora.text_tokens_per_second
    replaced = corpora.interleave_ratio * corpora.interleave_text_tokens
    exist = {
        "interleaved": (replaced * per_text, corpora.interleave_text_tokens - replaced),
        "speech": (corpora.speech_hours * HOUR * corpora.frame_rate, 0.0),
        "supervised": (corpora.supervised_hours * HOUR * corpora.frame_rate, corpora.supervised_text_tokens),
        "text": (0.0, corpora.text_tokens),
    }
    epochs = {name: corpora.epochs.get(name, 1.0) for name in exist}
    if not corpora.epochs and tokens is not None and corpora.text_tokens:
        others = sum(sum(sizes) for name, sizes in exist.items() if name != "text")
        epochs["text"] = max(0.0, tokens - others) / corpora.text_tokens
    kinds = {
        name: Kind(speech_tokens=speech, text_tokens=text, epochs=epochs[name])
        for name, (speech, text) in exist.items()
        if speech + text
    }
    read = sum((kind.speech_tokens + kind.text_tokens) * min(1.0, kind.epochs) for kind in kinds.values())
    rows = read / sequence
    return Data(
        kinds=kinds,
        seen=sum(kind.seen for kind in kinds.values()),
        speech_per_replaced_text=per_text,
        synthesis_gpu_hours=exist["interleaved"][0] / corpora.synthesis_tokens_per_second / HOUR,
        shards=math.ceil(rows / SHARD_ROWS),
        shard_bytes=read * TOKEN_BYTES + rows * (ROW_BYTES + TOKEN_BYTES),
    )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What so many tokens cost on so many GPUs."""

    tokens: float
    steps: int
    days: float
    """Of training alone."""
    days_low: float
    days_high: float
    gpu_hours: float
    failures: float
    """Expected over the whole run."""
    checkpoint_bytes: int
    checkpoint_write_s: float
    checkpoint_every_s: float
    goodput: float
    """Share of the time that trains."""
    days_with_failures: float
    megawatt_hours: float
    money: dict[str, float] = field(default_factory=dict)
    """By item, in the price file's currency."""


def budget_of(
    prediction: Prediction,
    site: SiteConfig,
    prices: Mapping[str, object],
    *,
    tokens: float,
    shard_bytes: float = 0.0,
    kept_checkpoints: int = 1,
) -> Budget:
    """Days, failures, energy and money of reading so many tokens.

    Shards and checkpoints are kept for as long as the run lasts. ValueError where the run fails too often to progress.
    """
    job = prediction.job
    seconds = tokens / job.gpus / prediction.speed
    between_failures = site.failure_gpu_hours / job.gpus * HOUR
    size = checkpoint_bytes(job)
    write = size / (site.storage_gb_s * 1e9)
    if between_failures < write:
        raise ValueError(
            f"site.failure_gpu_hours={site.failure_gpu_hours:g}: {job.gpus} GPUs fail every {between_failures:.3g} s, "
            f"and a checkpoint takes {write:.3g} s (site.storage_gb_s); no run progresses; correct one"
        )
    every = math.sqrt(2 * write * between_failures)
    lost = write / every + (every / 2 + site.restart_minutes * 60) / between_failures
    goodput = 1 / (1 + lost)
    gpu_hours = seconds / HOUR * job.gpus / goodput
    energy = gpu_hours * job.gpu.watts * site.power_overhead / 1e6
    return Budget(
        tokens=tokens,
        steps=math.ceil(tokens / (job.global_batch * job.sequence)),
        days=seconds / 86400,
        days_low=tokens / job.gpus / prediction.high / 86400,
        days_high=tokens / job.gpus / prediction.low / 86400,
        gpu_hours=gpu_hours,
        failures=seconds / goodput / between_failures,
        checkpoint_bytes=size,
        checkpoint_write_s=write,
        checkpoint_every_s=every,
        goodput=goodput,
        days_with_failures=seconds / goodput / 86400,
        megawatt_hours=energy,
        money=_money(
            job.gpu.name,
            prices,
            gpu_hours=gpu_hours,
            energy=energy,
            terabyte_months=(shard_bytes + kept_checkpoints * size) / 1e12 * gpu_hours / job.gpus / MONTH_HOURS,
        ),
    )


def _money(
    gpu_name: str, prices: Mapping[str, object], *, gpu_hours: float, energy: float, terabyte_months: float
) -> dict[str, float]:
    """Money by item, of what the price file names. ValueError for a price that is no number of at least 0."""
    if unknown := [str(name) for name in prices if name not in PRICES]:
        raise ValueError(f"site.prices: {unknown[0]} is no item; items are {', '.join(PRICES)}; correct the file")
    found = {}
    if "gpu_hour" in prices:
        found["GPU hours"] = gpu_hours * _gpu_price(gpu_name, prices["gpu_hour"])
    if "kilowatt_hour" in prices:
        found["energy"] = energy * 1000 * _price("kilowatt_hour", prices["kilowatt_hour"])
    if "terabyte_month" in prices:
        found["storage"] = terabyte_months * _price("terabyte_month", prices["terabyte_month"])
    return found


def _gpu_price(gpu_name: str, by_gpu: object) -> float:
    """Price of an hour of the GPU: of the longest name in the file that it begins with."""
    if not isinstance(by_gpu, Mapping):
        raise ValueError(f"site.prices: gpu_hour={by_gpu!r} must map names of GPUs to prices; correct the file")
    named = [str(name) for name in by_gpu if gpu_name.lower().startswith(str(name).lower())]
    if not named:
        raise ValueError(f"site.prices: gpu_hour has no price for {gpu_name}; add it, or leave gpu_hour out")
    name = max(named, key=len)
    return _price(f"gpu_hour.{name}", {str(key): price for key, price in by_gpu.items()}[name])


def _price(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"site.prices: {key}={value!r} must be a number of at least 0; correct the file")
    return float(value)


SCALING = {
    "from_scratch": (0.367, "SODA: the best size grows as compute^0.367"),
    "text_initialised": (0.5, "SIMS: size before data; it states no exponent, and 0.5 is the least that this means"),
}
"""Exponent of the best model size over compute by prior, with its source."""


def tenfold(prior: str) -> tuple[float, float, str]:
    """By how much the best size and the best amount of data grow with ten times the compute, and the source."""
    exponent, source = SCALING[prior]
    return 10**exponent, 10 ** (1 - exponent), source
