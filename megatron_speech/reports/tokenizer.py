"""Writes the report on a speech tokenizer: word errors, codes, disturbances, and published figures.

All numbers but the measured speed come from the facts of the manifest, where programs read them. Limitation: the same
text accompanies any numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.estimate import ErrorRatesFacts
from megatron_speech.artifacts.facts.tokenizer_report import DisturbanceFacts, TokenizerReportFacts
from megatron_speech.artifacts.files import write_atomic
from megatron_speech.reports.facts import FROM_CODES, Value, count, in_points, percent, prose, table
from megatron_speech.reports.plots import plot_codebook
from megatron_speech.reports.tokenizer_plots import plot_readers, plot_robustness

LIBRISPEECH = "LibriSpeech clean / other"
PUBLISHED = (
    ("whisper-large-v3, without bottleneck", "50", "", LIBRISPEECH, "2.50 % / 4.53 %"),
    ("GLM-4-Voice tokenizer", "50", "600", LIBRISPEECH, "1.85 % / 3.78 %"),
    ("GLM-4-Voice tokenizer", "25", "300", LIBRISPEECH, "1.94 % / 4.16 %"),
    ("GLM-4-Voice tokenizer", "12.5", "175", LIBRISPEECH, "2.10 % / 4.90 %"),
    ("GLM-4-Voice tokenizer", "6.25", "100", LIBRISPEECH, "misprinted there"),
)
"""Table 1 of arXiv 2412.02612. For 6.25 codes per second, the paper prints figures of resynthesis by mistake."""


def write_tokenizer_report(folder: Path, facts: TokenizerReportFacts, timings: Mapping[str, Any]) -> None:
    """Write report.md and its figures into `folder`."""
    lines = [
        "# A speech tokenizer, measured",
        "",
        *opening(facts),
        *words(folder, facts),
        *voices(facts),
        *codes(folder, facts, timings),
        *disturbed(folder, facts),
        *published(facts),
    ]
    write_atomic(folder / "report.md", "\n".join(lines).rstrip() + "\n")


def opening(facts: TokenizerReportFacts) -> list[str]:
    """The opening: codebook, data sets, and utterances left out."""
    amount = ", ".join(
        f"{name} ({count(own.utterances)} utterances, {own.speech_seconds / 60:.1f} min)"
        for name, own in facts.usage_by_set.items()
    )
    lines = prose(f"""One codebook of {count(facts.codebook_size)} codes at {facts.frame_rate:g} per second. Data:
    {amount}. Intervals are 95 % bootstrap intervals over utterances.""")
    lines += [f"Left out: {name}, {why}." for name, why in facts.left_out.items()]
    lines += [
        f"Left out of {name}: {count(number)} utterances longer than {facts.longest_seconds:g} s."
        for name, number in facts.too_long.items()
    ]
    if facts.judge is None:
        lines += ["No independent judge heard the audio.", ""]
    return lines


def words(folder: Path, facts: TokenizerReportFacts) -> list[str]:
    """The section with error rates, by data set and reader; draws wer.png."""
    by_set = by_data_set(facts, facts.error_rates)
    plot_readers(folder / "wer.png", by_set)
    rows = [
        [name, reader, bounded(rates, "wer"), bounded(rates, "cer"), count(rates.words)]
        for name, by_reader in by_set.items()
        for reader, rates in by_reader.items()
    ]
    return [
        "## Words",
        "",
        *prose("""The tokenizer's own recogniser reads the codes. The Whisper model it was trained from (without
        bottleneck) and an independent Whisper model (judge) hear the audio, so their errors bound what to expect. All
        readers stop when they repeat themselves, so a refrain that is really said twice counts as lost words."""),
        *table(["data", "reader", "word error rate", "character error rate", "words"], rows),
        "![Word error rates by data set and reader](wer.png)",
        "",
    ]


def voices(facts: TokenizerReportFacts) -> list[str]:
    """The section with word error rates by voice, one column per reader."""
    by_set = by_data_set(facts, facts.error_rates_by_voice)
    readers = list(dict.fromkeys(reader for by_reader in by_set.values() for reader in by_reader))
    rows = []
    for name, by_reader in by_set.items():
        for voice in next(iter(by_reader.values())):
            rates = [bounded(by_reader[reader][voice], "wer") for reader in readers]
            rows.append([name, voice, *rates, count(next(iter(by_reader.values()))[voice].words)])
    return ["## Voices", "", *table(["data", "voice", *(f"{r}, WER" for r in readers), "words"], rows)]


def codes(folder: Path, facts: TokenizerReportFacts, timings: Mapping[str, Any]) -> list[str]:
    """The section on codebook usage, bit rates and speed; draws usage.png."""
    plot_codebook(folder / "usage.png", facts.code_counts)
    total = sum(facts.code_counts)
    rows = [
        [
            name,
            count(own.codes),
            f"{own.codes_per_speech_second:.2f}",
            count(own.codes_used),
            f"{own.perplexity:.1f}",
            f"{timings[name]['speech_seconds_per_cpu_second']:.1f}",
        ]
        for name, own in facts.usage_by_set.items()
    ]
    return [
        "## Codes",
        "",
        *prose(f"""Of {count(facts.codebook_size)} codes, {count(facts.codes_used)} occur in {count(total)} encoded
        ones; the other {count(facts.codes_unseen)} are dead, or rare in so little speech. Perplexity:
        {facts.perplexity:.1f} (effective number of codes). Bits per second: {facts.bits_per_second:.0f} by codebook
        size, {facts.entropy_bits_per_second:.0f} by the entropy of single codes, which a small sample underestimates.
        The last code of a clip is padded and counts whole, hence more codes per second than {facts.frame_rate:g}.
        Encoding speed was measured on this machine under its load: seconds of speech per CPU second, all threads
        together."""),
        *table(["data", "codes", "per second", "different codes", "perplexity", "encoding speed"], rows),
        "![How often each code is used](usage.png)",
        "",
    ]


def disturbed(folder: Path, facts: TokenizerReportFacts) -> list[str]:
    """The section on disturbances, by data set; draws one figure per data set. No lines without disturbances."""
    if not facts.robustness:
        return []
    lines = [
        "## Robustness",
        "",
        *prose("""The same clips after disturbances. Added: paired difference of word error rates from untouched clips,
        in points. Codes changed: share of positions with another code. Edits: insertions, deletions and substitutions
        per code; a shift in time counts less here. Noise: level in dB below the speech, over the whole clip; babble is
        mixed from other clips of the same data. Gains clip at full scale."""),
    ]
    for name, rows in facts.robustness.items():
        plot_robustness(folder / f"robustness-{name}.png", rows)
        cells = [
            [row.name, bounded(row, "wer"), points(row), bounded(row, "codes_changed"), bounded(row, "code_edits")]
            for row in rows
        ]
        lines += [
            f"### {name}, {count(rows[0].utterances)} utterances",
            "",
            *table(["disturbance", "word error rate from codes", "added", "codes changed", "edits per code"], cells),
            f"![Words lost and codes changed](robustness-{name}.png)",
            "",
        ]
    return lines


def published(facts: TokenizerReportFacts) -> list[str]:
    """The section with table 1 of arXiv 2412.02612, and this tokenizer below."""
    rate, bits = f"{facts.frame_rate:g}", f"{facts.bits_per_second:.0f}"
    ours = [
        ["**this tokenizer**", rate, bits, name, bounded(by_reader[FROM_CODES], "wer")]
        for name, by_reader in by_data_set(facts, facts.error_rates).items()
    ]
    return [
        "## Beside the published figures",
        "",
        *prose("""Upper rows: published figures (arXiv 2412.02612, table 1) of tokenizers trained from Whisper large v3
        on more than 700,000 hours. Last rows: this tokenizer. **Test sets, voices and sizes differ**: the figures are
        not comparable, and nothing follows from their difference."""),
        *table(
            ["tokenizer", "codes/s", "bits/s", "test set", "word error rate"],
            [*(list(row) for row in PUBLISHED), *ours],
        ),
    ]


def by_data_set(facts: TokenizerReportFacts, by_name: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """Nests the keys ``<set>, <reader>``: {"heldout, from codes": x} becomes {"heldout": {"from codes": x}}."""
    return {
        name: {key.removeprefix(f"{name}, "): value for key, value in by_name.items() if key.startswith(f"{name}, ")}
        for name in facts.usage_by_set
    }


def points(row: DisturbanceFacts) -> str:
    """Change of the word error rate by a disturbance, in points with its interval; empty for untouched clips."""
    if row.kind == "none":
        return ""
    return in_points(row.wer_change, row.wer_change_low, row.wer_change_high)


def bounded(facts: ErrorRatesFacts | DisturbanceFacts, name: str) -> str:
    """The share in field `name`, with its interval: "12.3 % (10.1-14.6)"."""
    value, low, high = (getattr(facts, key) for key in (name, f"{name}_low", f"{name}_high"))
    return f"{percent(value)} ({100 * low:.1f}-{100 * high:.1f})"
