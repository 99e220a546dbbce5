"""The section on the paper's claim: two small models, with and without interleaved documents."""

from __future__ import annotations

from megatron_speech.artifacts.facts.evaluation import EvaluationFacts
from megatron_speech.reports.facts import NOT_REPORTED, RunFolder, interval, prose, table

ARMS = {"interleaved": "with interleaved documents", "paired": "with pairs of text and speech alone"}
COLUMNS = (("written", "written_only"), ("aloud", "spoken"), ("aloud", "written_only"))


def crossing_over(run: RunFolder) -> list[str]:
    """What two small models answer to written and spoken questions; no lines for budgets without that part."""
    if not (run.folder / "claim" / "arms").is_dir():
        return []
    rows = []
    for arm, words in ARMS.items():
        facts = run.facts(f"claim/arms/{arm}/0/evaluation", EvaluationFacts)
        asked = facts.geo_qa if facts else None
        found = {} if asked is None else {"written": asked.asked_in_writing, "aloud": asked.asked_aloud}
        estimates = [found.get(how, {}).get(group) for how, group in COLUMNS]
        rows.append([words, *(interval(each) if each else NOT_REPORTED for each in estimates)])
    header = ["trained", "asked in writing", "asked aloud, capitals heard", "asked aloud, capitals only ever written"]
    return [
        "## Does what was written answer what is asked aloud?",
        "",
        *prose("""Two models of 3 million weights learnt a narrow world of facts from scratch, from equally many tokens.
        Half of the capitals were only ever written. Guessing gives 25 %."""),
        *table(header, rows),
        "![Accuracy along the training](claim/arms/along.png)",
        "",
        *prose("[All groups of questions, and answers as speech](claim/arms/report.md)."),
    ]
