"""Judges the answers of a finished evaluation, and writes an evaluation with the judge's credits.

Answers are generated once, and judged as often as one likes. The output has the files of `evaluate`, so that
`compare_evaluations` reads it. Its records have, besides those of the answers:

    credit    mean worth of the verdicts of the first judge
    verdicts  {judge: [one per reply, or null if its last line is none]}; in a comparison a list per order
    reason    why an answer counts as wrong without a judge, or "no verdict"
    unread    what the first judge said instead of a verdict

Every answer counts: one without a verdict is wrong, in a comparison it is a tie.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from megatron_speech.artifacts.facts.evaluation import EvaluationResults
from megatron_speech.artifacts.files import fingerprint, fingerprint_files, write_atomic
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.config.inspection.judge import JudgeConfig
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.evaluation.comparison.evaluations import ITEMS
from megatron_speech.evaluation.judging import answers, prompts, records, verdicts
from megatron_speech.evaluation.judging.answers import TASK, Answers, Case, read_answers
from megatron_speech.evaluation.judging.endpoint import Endpoint, Reply
from megatron_speech.evaluation.judging.prompts import JudgePrompt, load_prompt
from megatron_speech.evaluation.judging.records import records_of
from megatron_speech.evaluation.judging.verdicts import Judgement, agreement
from megatron_speech.evaluation.protocol import FILE, ID, code_version, protocol_id
from megatron_speech.evaluation.tasks.interface import Record
from megatron_speech.metrics.intervals import mean_interval

logger = logging.getLogger(__name__)

SENDING = ("cache", "at_once", "attempts", "timeout_s")
"""Settings that change no verdict."""
ANSWERED = ("template", "prompt", "decoding", "normalizer", "recognizer", "sound", "dtype", "data")
"""Entries of the protocol of answers that a judge leaves as they are."""


def judge(config: JudgeConfig) -> None:
    """Write `config.output`: evaluation.json, items.jsonl and protocol.json."""
    prompt = load_prompt(config.prompt)
    identity = {key: value for key, value in to_dict(config).items() if key not in SENDING}
    identity["prompt"] = {"name": prompt.name, "sha256": prompt.sha256}
    inputs = [config.evaluation, *([config.against] if config.against else [])]
    if is_made(config.output, kind="evaluation", config=identity, inputs=inputs):
        logger.info("%s: already done", config.output)
        return
    found = read_answers(config, prompt)
    endpoints = {name: Endpoint(name, given, config) for name, given in config.judges.items()}
    with make_artifact(config.output, kind="evaluation", config=identity, inputs=inputs) as draft:
        asked = [case for case in found.cases if case.reason is None]
        replies = {name: _replies(endpoint, prompt, asked) for name, endpoint in endpoints.items()}
        judged = {name: [Judgement.of(prompt, each) for each in replies[name]] for name in replies}
        for name, judgements in judged.items():
            _require_a_verdict(name, judgements, prompt)
        listed = records_of(found.cases, judged)
        results = {
            "model": str(config.evaluation),
            TASK: _scores(listed, found, config, prompt),
            "judges": {name: _of_judge(config, name, replies[name], judged[name]) for name in judged},
            "agreement": {f"{a}, {b}": agreement(judged[a], judged[b]) for a, b in combinations(judged, 2)},
        }
        protocol = {TASK: _protocol(config, prompt, found, results)}
        write_atomic(draft.folder / "evaluation.json", to_json(results, indent=1) + "\n")
        write_atomic(draft.folder / ITEMS, "".join(to_json(record) + "\n" for record in listed))
        write_atomic(draft.folder / FILE, to_json(protocol, indent=1) + "\n")
        draft.facts = EvaluationResults(by_task=results)


def _replies(endpoint: Endpoint, prompt: JudgePrompt, cases: Sequence[Case]) -> list[list[list[Reply]]]:
    """Replies by case, order and number."""
    orders = [case.orders() for case in cases]
    given = iter(endpoint.ask([prompt.messages(values) for each in orders for values in each]))
    return [[next(given) for _ in each] for each in orders]


def _require_a_verdict(name: str, judgements: Sequence[Judgement], prompt: JudgePrompt) -> None:
    if judgements and not any(worths for each in judgements for worths in each.worths):
        said = judgements[0].unread[0]
        raise ValueError(
            f"judges.{name}: the last line of no reply is a verdict ({', '.join(prompt.verdicts)}), it said "
            f"{said[-80:]!r}; choose another prompt or judge"
        )


def _scores(listed: Sequence[Record], found: Answers, config: JudgeConfig, prompt: JudgePrompt) -> dict[str, Any]:
    """Mean credit by set and way, and by subset; reasons, and how often the order decides."""
    grouped: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in listed:
        grouped[record["task"], record["pair"]].append(record)

    def estimate(group: Sequence[Record]) -> dict[str, Any]:
        credits = [record["credit"] for record in group]
        return mean_interval(credits, seed=config.seed, resamples=config.resamples).rounded().to_json()

    results: dict[str, Any] = {"chance": 0.5} if prompt.compares else {}
    for (name, way), group in grouped.items():
        own: dict[str, Any] = {prompt.name: estimate(group)}
        if subsets := sorted({record["subset"] for record in group} - {""}):
            own["subsets"] = {each: estimate([r for r in group if r["subset"] == each]) for each in subsets}
        reasons = Counter(record["reason"] for record in group if record["reason"])
        own["not_compared" if prompt.compares else "wrong"] = dict(sorted(reasons.items()))
        if compared := [record["turned"] for record in group if "turned" in record]:
            own["order_decides"] = round(sum(compared) / len(compared), 6)
        results.setdefault(name, {})[way] = own
    for name, number in found.unfit.items():
        results.setdefault(name, {})["unfit"] = number
    return results


def _of_judge(
    config: JudgeConfig, name: str, replies: Sequence[Sequence[Sequence[Reply]]], judged: Sequence[Judgement]
) -> dict[str, Any]:
    """What is to be known of a judge: its settings, who answered, and how often nothing could be read."""
    every = [reply for case in replies for order in case for reply in order]
    return {
        "model": config.judges[name].model,
        "answered_by": sorted({reply.model for reply in every} - {""}),
        "replies": len(every),
        "unread": sum(len(each.unread) for each in judged),
        "refused": dict(sorted(Counter(reply.refused for reply in every if reply.refused).items())),
    }


def _protocol(config: JudgeConfig, prompt: JudgePrompt, found: Answers, results: Mapping[str, Any]) -> dict[str, Any]:
    """How the answers were generated, with the judge that decides in place of the matcher."""
    name, endpoint = next(iter(config.judges.items()))
    against = {"against": fingerprint_files([config.against / ITEMS])} if config.against else {}
    protocol = {
        **{key: found.protocol[key] for key in ANSWERED if key in found.protocol},
        "chance": dict.fromkeys(sorted({case.record["task"] for case in found.cases}), 0.5) if prompt.compares else {},
        "score": "mean worth of a judge's verdicts",
        "judge": {
            "prompt": prompt.name,
            "sha256": prompt.sha256,
            "model": endpoint.model,
            "answered_by": results["judges"][name]["answered_by"],
            "n": config.n,
            "temperature": config.temperature,
            "options": dict(endpoint.options),
            **against,
        },
        "code": fingerprint(
            [("answers", str(found.protocol["code"])), ("judge", code_version([answers, prompts, records, verdicts]))]
        ),
    }
    return {ID: protocol_id(protocol), **protocol}


def in_words(results: Mapping[str, Any]) -> Iterator[str]:
    """Lines for a person on the judges: who answered, and how far they agree."""
    for name, about in results["judges"].items():
        models = ", ".join(about["answered_by"]) or about["model"]
        unread = f", {about['unread']:,} of them without a verdict" if about["unread"] else ""
        yield f"judge {name}: {about['replies']:,} replies of {models}{unread}"
    for names, shared in results["agreement"].items():
        same, items, kappa = shared["same"], shared["items"], shared.get("kappa")
        yield f"{names}: agree on {same:,} of {items:,} answers" + ("" if kappa is None else f", kappa {kappa:.2f}")
