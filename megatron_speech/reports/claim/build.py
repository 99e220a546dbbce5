"""Writes the page that compares training arms: do written facts answer spoken questions?

All numbers are computed from the answers to each question of every arm and seed, and from the summaries of the training
runs. Differences from the baseline arm are paired by question; a trend is over arms that differ in their number of
interleaved tokens alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from megatron_speech.artifacts.files import write_atomic
from megatron_speech.config.reports.claim import ClaimReportConfig
from megatron_speech.reports.claim.arms import Arm, Cell, compare, keep, read_arms, trend
from megatron_speech.reports.claim.figures import plot_along, plot_amounts
from megatron_speech.reports.experiments import commentary, not_shown
from megatron_speech.reports.facts import count, in_points, interval, percent, prose, shown, table

logger = logging.getLogger(__name__)

PAIRS = {
    "text->text": "written question, written answer",
    "speech->text": "spoken question, written answer",
    "text->speech": "written question, spoken answer",
    "speech->speech": "spoken question, spoken answer",
}
GROUPS = {
    "spoken": "capitals that were heard",
    "written_only": "capitals only ever written",
    "towns_spoken": "invented emblems that were heard",
    "towns_written_only": "invented emblems only ever written",
}
SPOKEN: tuple[Cell, ...] = tuple(("speech->text", group) for group in GROUPS)
"""Spoken questions, answered in writing: what the claim is about."""


def claim_report(config: ClaimReportConfig) -> None:
    """Write report.md, claim.png and along.png into `config.folder`, and what they come from into `config.keep`.

    Raises FileNotFoundError or ValueError for a missing or damaged file.
    """
    arms, absent = read_arms(config)
    by_name = {arm.name: arm for arm in arms}
    amounts = [by_name[name] for name in config.amounts if name in by_name]
    output = config.keep or config.folder
    output.mkdir(parents=True, exist_ok=True)
    plot_amounts(output / "claim.png", amounts or arms, SPOKEN, GROUPS)
    plot_along(output / "along.png", arms, GROUPS)
    lines = [
        "# Does interleaving carry written facts to speech?",
        "",
        *prose("""Each arm trained a model of the same size from scratch, on as many tokens as every other arm, unless
        its row says otherwise. Questions have four candidate answers, so chance is 25 %. Brackets are 95 % intervals
        over questions; the credit of a question is its mean over readings and seeds. Accuracies of single seeds
        follow. Differences are paired by question, with their number of standard errors."""),
        *commentary(config.reading),
        "![Accuracy of spoken questions against interleaved tokens](claim.png)",
        "",
        "![Accuracy along the training](along.png)",
        "",
        *_table_of_arms(arms),
        *_differences(arms, by_name.get(config.baseline)),
        *_trends(amounts),
        *_all_pairs(arms),
        *_layers(arms),
        *not_shown(absent),
    ]
    write_atomic(output / "report.md", "\n".join(lines).rstrip() + "\n")
    if config.keep:
        keep(arms, config.keep)
    logger.info("%s: %d arms", output / "report.md", len(arms))


def _table_of_arms(arms: list[Arm]) -> list[str]:
    header = ["arm", "shares of tokens", "other settings", "tokens", "interleaved", "seeds", "minutes each"]
    header += [f"spoken: {GROUPS[group]}" for _, group in SPOKEN]
    rows = [
        [
            arm.name,
            ", ".join(f"{source} {share:g}" for source, share in arm.config.shares.items() if share),
            ", ".join(f"{key} {value}" for key, value in arm.config.changes.items()),
            count(arm.tokens),
            count(arm.interleaved_tokens),
            str(len(arm.seeds)),
            shown(arm.minutes, count),
            *(_cell(arm, cell) for cell in SPOKEN),
        ]
        for arm in arms
    ]
    return ["## Spoken questions, answered in writing", "", *table(header, rows)]


def _differences(arms: list[Arm], baseline: Arm | None) -> list[str]:
    """Each arm minus the baseline, paired by question."""
    others = [arm for arm in arms if arm is not baseline]
    if baseline is None or not others:
        return []
    cells = [cell for cell in SPOKEN if all(cell in arm.cells for arm in arms)]
    rows = [[arm.name, *(_difference(baseline, arm, cell) for cell in cells)] for arm in others]
    header = [f"above {baseline.name}", *(GROUPS[group] for _, group in cells)]
    return [f"## Above the arm {baseline.name}", "", *table(header, rows)]


def _difference(first: Arm, second: Arm, cell: Cell) -> str:
    change, errors = compare(first, second, cell)
    in_errors = "" if errors is None else f", {errors:.1f} standard errors"
    return in_points(change.value, change.low, change.high) + in_errors


def _trends(amounts: Sequence[Arm]) -> list[str]:
    """How accuracy changes from one amount of interleaved tokens to the next."""
    if len(amounts) < 3:
        return []
    cells = [cell for cell in SPOKEN if all(cell in arm.cells for arm in amounts)]
    found = {cell: trend(amounts, cell) for cell in cells}
    rows = [
        [GROUPS[group], in_points(each.estimate.value, each.estimate.low, each.estimate.high), f"{each.p:.1g}"]
        for (_, group), each in found.items()
    ]
    steps = ", ".join(f"{arm.name} ({count(arm.interleaved_tokens)})" for arm in amounts)
    return [
        "## The trend over interleaved tokens",
        "",
        *prose(f"""Arms in order: {steps}. For each question, a line is laid through its credits in these arms; below
        is the mean slope from one arm to the next, with the p-value of a t-test over questions."""),
        *table(["spoken questions", "change per arm", "p"], rows),
    ]


def _all_pairs(arms: list[Arm]) -> list[str]:
    lines = []
    for pair, words in PAIRS.items():
        cells = [(pair, group) for group in GROUPS if all((pair, group) in arm.cells for arm in arms)]
        if cells:
            rows = [[arm.name, *(_cell(arm, cell) for cell in cells)] for arm in arms]
            lines += [f"## {words.capitalize()}", "", *table(["arm", *(GROUPS[group] for _, group in cells)], rows)]
    return lines


def _layers(arms: list[Arm]) -> list[str]:
    """Whether layers hold a spoken question as they hold the written one."""
    probed = [arm for arm in arms if arm.layers]
    if not probed:
        return []
    header = ["arm", *("embedding" if layer == "0" else f"layer {layer}" for layer in probed[0].layers)]
    rows = [
        [arm.name, *(percent(arm.layers[layer]) if layer in arm.layers else "" for layer in probed[0].layers)]
        for arm in probed
    ]
    return [
        "## Which layers hold speech as they hold text",
        "",
        *prose("""The state at the end of a spoken question is compared with those of all written questions, without
        training a probe. Below: the share of spoken questions whose own text is nearest, a mean over seeds."""),
        *table(header, rows),
    ]


def _cell(arm: Arm, cell: Cell) -> str:
    if cell not in arm.cells:
        return "not asked"
    seeds = " ".join(f"{value:.2f}" for value in arm.of_seeds(cell))
    return f"{interval(arm.accuracy(cell).rounded())}; {seeds}"
