#!/usr/bin/env python
"""How far the planner's predictions lie from published measurements of other people's trainings.

    python tests/benchmarks/planner_accuracy.py                       # judged on the shared rows, group by group
    python tests/benchmarks/planner_accuracy.py --throughput other.csv # scores other rows with the kept scalars
    python tests/benchmarks/planner_accuracy.py --fit                  # fits the kept scalars anew

A group is a software stack with a model shape. Each is predicted by scalars that were fitted without it, and once by
scalars without its whole GPU generation. The naive model beside it is one share of the peak per precision. Rows that
state no dense shape, or are no pre-training, are counted and left out. Other rows are scored with the scalars that
travel with the package, which saw the shared rows only. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from megatron_speech.planning.memory import fits, stage_memory
from megatron_speech.planning.scalars import Observation, fit, left_out_errors, quantiles, scalars
from megatron_speech.planning.step_time import step_time, tokens_per_second
from tests.published_memory import memory_rows
from tests.published_rows import Row, throughput_rows

SCALARS = Path(__file__).resolve().parents[2] / "megatron_speech" / "planning" / "data" / "scalars.json"
ROWS = Path(__file__).resolve().parent / "published" / "throughput_rows.csv"
MEMORY = ROWS.with_name("memory_rows.csv")
MEMORY_LIMITS = {"rest_median": 2.0, "rest_p95": 6.0, "peak_median": 6.0}
LIMITS = {"median": 5.0, "mean": 8.0, "p90": 15.0}
NEAR_POINTS = 2.0
"""Percentage points between a measured and a predicted weak-scaling loss that count as equal."""
Pairs = list[tuple[Row, float]]


def main() -> None:
    """Score; judge the shared rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--throughput", type=Path, help="other rows, in the columns of throughput_rows.csv")
    parser.add_argument("--memory", type=Path, help="other rows, in the columns of memory_rows.csv")
    parser.add_argument("--fit", action="store_true", help="fit the kept scalars on the shared rows")
    arguments = parser.parse_args()
    rows, left_out = throughput_rows(arguments.throughput or ROWS)
    observed = [observation(row) for row in rows]
    if arguments.fit:
        keep(observed)
    result = of_other_rows(rows, observed) if arguments.throughput else of_shared_rows(rows, observed)
    memory = of_memory(arguments.memory or MEMORY, arguments.throughput or ROWS)
    print(json.dumps({"name": "planner_accuracy", "left_out": left_out, **result, "memory": memory}))
    is_missed = result["ratio"] > 1 or memory["ratio"] > 1
    if is_missed and not (arguments.throughput or arguments.memory):
        raise SystemExit(1)


def observation(row: Row) -> Observation:
    """How far the unfitted prediction of `row` lies from the measurement."""
    predicted = tokens_per_second(row.job, step_time(row.job).total)
    return Observation(
        stack=row.job.stack.name,
        precision=row.precision,
        group=row.group,
        architecture=row.job.gpu.architecture,
        log_ratio=math.log(row.tokens_per_second / predicted),
    )


def keep(observed: Sequence[Observation]) -> None:
    """Write the scalars that travel with the package."""
    errors = quantiles(left_out_errors(observed, lambda each: each.group))
    facts = {
        "command": "python tests/benchmarks/planner_accuracy.py --fit",
        "rows": len(observed),
        "factors": {
            name: {key: round(value, 4) for key, value in each.items()} for name, each in fit(observed).items()
        },
        "errors": {name: [round(end, 4) for end in ends] for name, ends in errors.items()},
    }
    SCALARS.write_text(json.dumps(facts, indent=1) + "\n")


def of_shared_rows(rows: list[Row], observed: list[Observation]) -> dict[str, Any]:
    """Errors where each row's group, or its GPU generation, was left out of the fit."""
    by_group = paired(rows, observed, lambda each: each.group)
    by_generation = paired(rows, observed, lambda each: each.architecture)
    on_h100 = [pair for pair in by_group if is_h100(pair[0])]
    errors = summary(on_h100)
    print_table("left out: stack and shape", by_group)
    print_table("left out: GPU generation", by_generation)
    print_table("naive: one share of the peak per precision", naive(rows))
    ratio = max(errors[key] / limit for key, limit in LIMITS.items())
    scaling = weak_scaling(by_group)
    near = [each for each in scaling.values() if abs(each["measured"] - each["predicted"]) <= NEAR_POINTS]
    return {
        "ratio": round(ratio, 4),
        "limit": 1.0,
        "better": "lower",
        **keyed(by_group),
        "h100_dense_pretraining": errors,
        "generation_left_out": {
            name: summary([pair for pair in by_generation if pair[0].job.gpu.architecture == name])
            for name in sorted({row.job.gpu.architecture for row in rows})
        },
        "naive_h100": summary([pair for pair in naive(rows) if is_h100(pair[0])]),
        "coverage_90": coverage(observed),
        "ranking": ranking(by_group),
        "weak_scaling": {"series": len(scaling), "within_2_points": len(near)},
        "weak_scaling_points": scaling,
        "limits": LIMITS,
    }


def of_other_rows(rows: list[Row], observed: list[Observation]) -> dict[str, Any]:
    """Errors of rows that no fit has seen."""
    kept = scalars()
    pairs = [
        (row, math.exp(each.log_ratio) / kept.factor(each.stack, each.precision))
        for row, each in zip(rows, observed, strict=True)
    ]
    print_table("other rows, with the kept scalars", pairs)
    inside = [low <= error <= high for row, error in pairs for low, high in [kept.interval(row.job.stack.name)]]
    sources = sorted({row.source for row in rows})
    return {
        **keyed(pairs),
        "ratio": 0.0,
        "by_source": {name: summary([pair for pair in pairs if pair[0].source == name]) for name in sources},
        "coverage_90": round(100 * statistics.mean(inside), 1) if inside else None,
        "ranking": ranking(pairs),
    }


def of_memory(path: Path, throughput: Path) -> dict[str, Any]:
    """Errors of memory, to which nothing is fitted; verdicts on published layouts, which all fitted."""
    rows, left_out = memory_rows(path, throughput)
    found = [(row, stage_memory(row.job, row.stage)) for row in rows]
    rest = [(row, 100 * abs(memory.at_rest / row.at_rest - 1)) for row, memory in found if row.at_rest]
    peak = [(row, 100 * abs(memory.total / row.peak - 1)) for row, memory in found if row.peak]
    facts: dict[str, Any] = {}
    for name, errors in (("rest", rest), ("peak", peak)):
        if not errors:
            continue
        print(f"memory, {name:<39}{'rows':>6}{'median %':>10}{'p95 %':>8}")
        for platform in [*sorted({row.platform for row, _ in errors}), "all"]:
            some = sorted(error for row, error in errors if platform in ("all", row.platform))
            p95 = some[math.ceil(0.95 * len(some)) - 1]
            print(f"  {platform:<45}{len(some):>6}{statistics.median(some):>10.2f}{p95:>8.2f}")
            if platform == "all":
                facts |= {f"{name}_median": round(statistics.median(some), 2), f"{name}_p95": round(p95, 2)}
    ran = [row for row in throughput_rows(throughput)[0] if row.states_recompute]
    unfit = sorted({row.id for row in ran if not may_fit(row)})
    limits = {name: limit for name, limit in MEMORY_LIMITS.items() if name in facts}
    return {
        "ratio": round(max([facts[name] / limit for name, limit in limits.items()], default=0.0), 4),
        **facts,
        "rows": len(rows),
        "left_out": left_out,
        "layouts_that_ran": len(ran),
        "of_them_called_unfit": unfit,
    }


def may_fit(row: Row) -> bool:
    """Whether the layout fits; where the row does not say how many chunks a stage has, whether it can fit unchunked."""
    return fits(row.job) or (not row.states_chunks and fits(replace(row.job, virtual=1)))


def paired(rows: list[Row], observed: list[Observation], by: Callable[[Observation], str]) -> Pairs:
    """Rows with measured over predicted throughput, fitted without their kin."""
    row_of = {id(each): row for row, each in zip(rows, observed, strict=True)}
    return [(row_of[id(each)], error) for each, error in left_out_errors(observed, by)]


def naive(rows: list[Row]) -> Pairs:
    """The same rows by one share of the peak per precision, fitted without the row's group."""
    shares = [row.tokens_per_second * flops(row) / row.job.gpu.peak(row.precision) for row in rows]
    found = []
    for row, share in zip(rows, shares, strict=True):
        others = [
            other
            for each, other in zip(rows, shares, strict=True)
            if each.precision == row.precision and each.group != row.group
        ]
        found.append((row, share / statistics.median(others or shares)))
    return found


def flops(row: Row) -> int:
    """FLOPs per token, full attention."""
    return row.job.shape.flops_per_token(row.job.sequence).total


def is_h100(row: Row) -> bool:
    """Whether the row ran on the H100 of 80 GB."""
    return row.job.gpu.name == "H100-SXM-80GB"


def summary(pairs: Pairs) -> dict[str, float]:
    """Errors of the predicted throughput in percent of the measured one."""
    errors = sorted(abs(1 / ratio - 1) * 100 for _, ratio in pairs)
    if not errors:
        return {"rows": 0}
    p90 = errors[math.ceil(0.9 * len(errors)) - 1]
    return {
        "rows": len(errors),
        "median": round(statistics.median(errors), 2),
        "mean": round(statistics.mean(errors), 2),
        "p90": round(p90, 2),
    }


def keyed(pairs: Pairs) -> dict[str, Any]:
    """Errors of all rows, by GPU and by precision."""
    whole = summary(pairs)
    facts: dict[str, Any] = {f"{key}_error": whole.get(key) for key in ("median", "mean", "p90")}
    ways: dict[str, Callable[[Row], str]] = {
        "gpu": lambda row: row.job.gpu.name,
        "precision": lambda row: row.precision,
    }
    for way, name_of in ways.items():
        names = sorted({name_of(row) for row, _ in pairs})
        by_name = {name: summary([pair for pair in pairs if name_of(pair[0]) == name]) for name in names}
        for key in ("median", "mean", "p90"):
            facts[f"{key}_error_by_{way}"] = {name: errors[key] for name, errors in by_name.items()}
    return {"rows": len(pairs), **facts}


def coverage(observed: list[Observation]) -> float:
    """Percent of rows inside intervals that were made without their group."""
    inside = []
    errors = left_out_errors(observed, lambda each: each.group)
    for name in sorted({each.group for each, _ in errors}):
        ends = quantiles([pair for pair in errors if pair[0].group != name])
        for each, error in errors:
            if each.group == name:
                low, high = ends.get(each.stack, ends["any"])
                inside.append(low <= error <= high)
    return round(100 * statistics.mean(inside), 1)


def ranking(pairs: Pairs) -> dict[str, float]:
    """Of two layouts of one model on as many GPUs, at least 5 % apart: how often the faster one is predicted faster."""
    alike: dict[tuple[Any, ...], Pairs] = defaultdict(list)
    for row, ratio in pairs:
        job = row.job
        alike[job.shape, job.sequence, job.gpu.name, job.gpus, row.precision, job.stack.name].append((row, ratio))
    right = []
    for same in alike.values():
        for index, (one, ratio) in enumerate(same):
            for other, other_ratio in same[index + 1 :]:
                gain = one.tokens_per_second / other.tokens_per_second
                if layout(one) == layout(other) or abs(math.log(gain)) < math.log(1.05):
                    continue
                predicted = (one.tokens_per_second / ratio) / (other.tokens_per_second / other_ratio)
                right.append((gain > 1) == (predicted > 1))
    return {"pairs": len(right), "right_percent": round(100 * statistics.mean(right), 1) if right else 0.0}


def layout(row: Row) -> tuple[Any, ...]:
    """What a person chooses for a model on given GPUs."""
    job = row.job
    return (
        *(job.tensor, job.pipeline, job.virtual, job.context, job.micro_batch),
        *(job.global_batch, job.recompute, job.sharding, job.stack.hides_tensor),
    )


def weak_scaling(pairs: Pairs) -> dict[str, dict[str, float]]:
    """Loss from the fewest to the most GPUs of every published weak-scaling series, in percent: measured, predicted."""
    series: dict[tuple[Any, ...], Pairs] = defaultdict(list)
    for row, ratio in pairs:
        job = row.job
        key = (row.source, row.model, row.precision, job.tensor, job.pipeline, job.virtual, job.context)
        series[(*key, job.micro_batch, job.micro_batches, job.sharding)].append((row, ratio))
    found = {}
    for key, same in series.items():
        same.sort(key=lambda pair: pair[0].job.gpus)
        (first, ratio), (last, last_ratio) = same[0], same[-1]
        if last.job.gpus >= 4 * first.job.gpus:
            measured = 100 * (1 - last.tokens_per_second / first.tokens_per_second)
            of_last, of_first = last.tokens_per_second / last_ratio, first.tokens_per_second / ratio
            name = f"{key[1]} {key[2]} {first.job.gpus}-{last.job.gpus} ({first.job.stack.name})"
            found[name] = {"measured": round(measured, 1), "predicted": round(100 * (1 - of_last / of_first), 1)}
    return found


def print_table(title: str, pairs: Pairs) -> None:
    """Print a line of errors per stack, precision and GPU generation."""
    print(f"{title:<48}{'rows':>6}{'median %':>10}{'mean %':>8}{'p90 %':>8}")
    named: dict[str, Pairs] = defaultdict(list)
    for row, ratio in pairs:
        named[f"  {row.job.gpu.architecture}"].append((row, ratio))
        named[f"  {row.job.gpu.architecture}, {row.job.stack.name}, {row.precision}"].append((row, ratio))
    named["  H100-SXM-80GB"] = [pair for pair in pairs if is_h100(pair[0])]
    named["  all"] = pairs
    for name, some in sorted(named.items()):
        errors = summary(some)
        if errors["rows"]:
            print(f"{name:<48}{errors['rows']:>6}{errors['median']:>10}{errors['mean']:>8}{errors['p90']:>8}")


if __name__ == "__main__":
    main()
