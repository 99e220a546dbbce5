"""Writes samples.html beside report.md: a player for every WAV file of a run, beside the text of its utterance.

The page is plain HTML without scripts. It loads nothing but the run's own WAV files, so it works from a disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import quote

from megatron_speech.artifacts.facts.evaluation import SampleFacts, SamplesFacts
from megatron_speech.artifacts.facts.record import Absent
from megatron_speech.artifacts.files import write_atomic
from megatron_speech.reports.facts import RunFolder

PAGE = "samples.html"
KINDS = {
    "original": "the recording",
    "resynthesis": "the recording, through tokens and back",
    "generated": "the model, asked to say it",
}
"""What a WAV file ``<utterance>.<kind>.wav`` holds, by its kind."""
_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Samples</title>
<style>
body { font: 1rem/1.5 sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid #bbb; }
h2 { font-size: 1.1rem; }
audio { width: 100%; }
small { color: #555; }
</style>
<h1>Samples</h1>
"""


def listening(run: RunFolder) -> list[str]:
    """Write the page, and return the line that links to it; no page and no line if nothing can be heard."""
    files: dict[str, dict[str, str]] = {}
    for path in sorted((run.folder / "wav").glob("*.wav")):
        utterance, _, kind = path.stem.rpartition(".")
        if kind in KINDS:
            files.setdefault(utterance, {})[kind] = path.name
    if not files:
        return []
    scores = {line["key"]: line for line in run.lines("wav/scores.jsonl")} if _is_scored(run) else {}
    facts = run.facts("sample", SamplesFacts)
    samples = {sample.id: sample for sample in facts.samples} if facts else {}
    sections = [_section(key, files[key], scores.get(key, {}), samples.get(key)) for key in files]
    write_atomic(run.folder / PAGE, _HEAD + "".join(sections) + "</html>\n")
    return [f"With players, each beside its text: [{PAGE}]({PAGE}).", ""]


def _is_scored(run: RunFolder) -> bool:
    return (run.folder / "wav" / "scores.jsonl").is_file()


def _section(key: str, files: Mapping[str, str], score: Mapping[str, Any], sample: SampleFacts | None) -> str:
    """One utterance: its text, a player for each kind, and what was heard in it."""
    text = score.get("text") or (sample.spoken if sample else key)
    lines = [f'<section>\n<h2 dir="auto">{escape(text)}</h2>\n<small>{escape(key)}</small>\n']
    for kind, label in KINDS.items():
        if kind not in files:
            continue
        heard = score.get(kind, {}).get("heard")
        if kind == "generated" and sample is not None and not isinstance(sample.spoken_text_as_heard, Absent):
            heard = sample.spoken_text_as_heard
        said = f", heard as: {_quoted(heard)}" if heard else ""
        lines.append(f'<p>{escape(label)}{said}<br>\n<audio controls preload="none" src="wav/{quote(files[kind])}">')
        lines.append("</audio></p>\n")
    if sample is not None:
        for label, wrote in (("asked what was said", sample.recognition), ("asked to go on", sample.continuation)):
            lines.append(f"<p>the model, {label}: {_quoted(wrote.strip()) if wrote.strip() else '(nothing)'}</p>\n")
    return "".join([*lines, "</section>\n"])


def _quoted(text: str) -> str:
    """A text of any direction, which leaves the words around it where they are."""
    return f"<bdi>{escape(text)}</bdi>"
