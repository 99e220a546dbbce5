"""Rows as the tools leave them, by the trainer of today and of yesterday, side by side in a table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.config.reports.tokenizer_report import TokenizerExperimentsConfig
from megatron_speech.reports.experiments import tokenizer_experiments
from megatron_speech.reports.settings import asked, differences, require_as_listed

WORDS = ["apple", "bread", "chair", "door", "egg", "flower", "garden", "house", "ink", "jar"]


def heard(wrong: int) -> list[str]:
    """Ten sentences of ten words, `wrong` of which are lost in the even ones."""
    return [" ".join(WORDS[wrong if number % 2 == 0 else 0 :]) for number in range(10)]


def write_row(folder: Path, wrong: int, *, new: bool = False, readers: bool = False, **bottleneck: Any) -> None:
    """Manifests, transcripts and timings of one row; `new` has the settings of a later trainer."""
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "report").mkdir()
    config: dict[str, Any] = {
        "output": str(folder),
        "whisper": "assets/whisper-tiny.en",
        "bottleneck": {"frame_rate": 12.5, "codebook_size": 1024, **bottleneck},
        "steps": 600,
        "learning_rate": 0.0005,
    }
    if new:
        config |= {"sources": {"synthetic": {"audio": "audio/train4", "weight": 1.0}}, "precision": "float32"}
    else:
        config["audio"] = "audio/train4"
    facts = {"kmeans_residual": 0.3194}
    manifest = {"kind": "speech_tokenizer", "config": config, "facts": facts}
    (folder / "tokenizer" / "manifest.json").write_text(json.dumps(manifest))
    said = {"said": " ".join(WORDS)}
    for audio, more in (("seen", 0), ("unseen", 1)):
        lines = [
            {"key": str(number), **said, "from codes": text}
            | ({"without bottleneck": " ".join(WORDS[1:]), "judge whisper-base": said["said"]} if readers else {})
            for number, text in enumerate(heard(wrong + more))
        ]
        (folder / "report" / f"{audio}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = {
        "kind": "speech_tokenizer_report",
        "config": {"audio": {"seen": "audio/seen", "unseen": "audio/unseen"}},
        "facts": {"perplexity": 845.2, "judge": "whisper-base" if readers else None},
    }
    (folder / "report" / "manifest.json").write_text(json.dumps(report))


@pytest.fixture
def config(tmp_path: Path) -> TokenizerExperimentsConfig:
    write_row(tmp_path / "base", 2, readers=True)
    write_row(tmp_path / "rate_25", 1, new=True, frame_rate=25)
    write_row(tmp_path / "same", 2, new=True)
    write_row(tmp_path / "by_hand", 4, codebook_size=64)
    timing = [{"stage": "tokenizer", "cpu_seconds": 61.0}, {"stage": "report", "cpu_seconds": 500.0}]
    (tmp_path / "base" / "timings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in timing))
    (tmp_path / "later").mkdir()
    return TokenizerExperimentsConfig(
        folder=tmp_path,
        rows={
            "rate_25": "--bottleneck.frame_rate 25",
            "base": "",
            "same": "--learning_rate 5e-4",
            "later": "--steps 9",
        },
        audio=["seen", "unseen", "human"],
        resamples=200,
    )


def page(config: TokenizerExperimentsConfig) -> str:
    tokenizer_experiments(config)
    return (config.folder / "report.md").read_text()


def cells(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_rows_stand_in_the_lists_order_and_others_after_them(config: TokenizerExperimentsConfig) -> None:
    text = page(config)
    places = [text.index(f"| {name} |") for name in ("rate_25", "**base**", "same", "by_hand")]
    assert places == sorted(places)
    assert "- no tokenizer yet: `later`" in text
    assert (config.folder / "wer.png").stat().st_size > 10_000
    assert "None" not in text and "nan" not in text


def test_a_row_says_what_is_other_and_what_it_reads_wrong(config: TokenizerExperimentsConfig) -> None:
    text = page(config)
    base, faster, by_hand = (cells(text, name) for name in ("**base**", "rate_25", "by_hand"))
    assert base[1:4] == ["", "600", "1"] and faster[1:4] == ["frame_rate=25", "600", "not measured"]
    assert by_hand[1] == "codebook_size=64" and cells(text, "same")[1] == ""
    assert base[4].startswith("10.0 % (") and base[5].startswith("15.0 % (") and base[6] == "not reported"
    assert faster[7].startswith("-5.0 (") and base[7] == ""
    assert base[8:] == ["845", "0.319"]


def test_differences_over_the_same_clips_tell_rows_apart(config: TokenizerExperimentsConfig) -> None:
    text = page(config)
    assert "better: rate_25; worse: by_hand; undecided: same." in text
    assert cells(text, "same")[7] == "+0.0 (+0.0 to +0.0)"


def test_what_reads_the_audio_is_taken_from_the_row_that_asked(config: TokenizerExperimentsConfig) -> None:
    text = page(config)
    assert cells(text, "whisper-tiny.en, without bottleneck")[1:3] == ["10.0 % (10.0-10.0)"] * 2
    assert cells(text, "whisper-base, independent judge")[1] == "0.0 % (0.0-0.0)"


def test_a_hand_written_reading_is_put_above_the_table(config: TokenizerExperimentsConfig, tmp_path: Path) -> None:
    (tmp_path / "reading.md").write_text("Faster is better here.\n")
    settings = {field: getattr(config, field) for field in ("rows", "folder", "audio")}
    text = page(TokenizerExperimentsConfig(**settings, reading=tmp_path / "reading.md"))
    assert text.index("Faster is better here.") < text.index("| row |")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.md does not exist; write it"):
        tokenizer_experiments(TokenizerExperimentsConfig(**settings, reading=tmp_path / "nowhere.md"))


def test_without_the_baseline_rows_stand_alone(config: TokenizerExperimentsConfig) -> None:
    shutil.rmtree(config.folder / "base")
    (config.folder / "base" / "tokenizer.partial").mkdir(parents=True)
    text = page(config)
    assert "- tokenizer begun but not finished: `base`" in text and cells(text, "rate_25")[7] == "not reported"


def test_a_row_that_is_not_what_the_list_says_is_refused(config: TokenizerExperimentsConfig) -> None:
    write_row(config.folder / "later", 1)
    with pytest.raises(ValueError, match="later/tokenizer was made with steps=600, the list of rows says 9; remove"):
        tokenizer_experiments(config)


def test_rows_read_on_other_clips_are_refused(config: TokenizerExperimentsConfig) -> None:
    path = config.folder / "same" / "report" / "seen.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
    with pytest.raises(ValueError, match="4 clips of seen are not the 10 of base; make the reports"):
        tokenizer_experiments(config)


def test_nothing_to_show_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; train its rows with"):
        tokenizer_experiments(TokenizerExperimentsConfig(folder=tmp_path / "nowhere", rows={}))
    with pytest.raises(ValueError, match="holds no row with both tokenizer and report; train one"):
        tokenizer_experiments(TokenizerExperimentsConfig(folder=tmp_path, rows={"base": ""}))
    with pytest.raises(ValueError, match="must be pairs of --key value"):
        TokenizerExperimentsConfig(rows={"base": "--steps"})
    with pytest.raises(ValueError, match=r"rows\.base='--steps=9 8' must be pairs of --key value"):
        TokenizerExperimentsConfig(rows={"base": "--steps=9 8"})
    with pytest.raises(ValueError, match="must be pairs of --key value"):
        TokenizerExperimentsConfig(rows={"base": "--steps --learning_rate 1"})


def test_both_spellings_of_a_command_line_are_the_same_settings() -> None:
    words = "--steps=9 --bottleneck.frame_rate 25 --sources='{x: {audio: audio/b=c}}'"
    assert TokenizerExperimentsConfig(rows={"base": words}).rows["base"] == words
    assert asked(words) == {"steps": 9, "bottleneck.frame_rate": 25, "audio": "audio/b=c"}


def test_weights_of_the_speech_are_a_setting() -> None:
    even, three = (
        {"sources": {"a": {"audio": "audio/a", "weight": 1.0}, "b": {"audio": "audio/b", "weight": weight}}}
        for weight in (1.0, 3.0)
    )
    assert differences(three, even, "") == ["audio=audio/a, audio/b*3"] and differences(even, even, "") == []
    words = '--sources "{a: {audio: audio/a}, b: {audio: audio/b, weight: 3}}"'
    require_as_listed(Path("row"), three, words)
    with pytest.raises(ValueError, match=r"audio=audio/a, audio/b, the list of rows says audio/a, audio/b\*3"):
        require_as_listed(Path("row"), even, words)


def test_speech_to_learn_from_is_one_setting_in_every_version() -> None:
    old, new = {"audio": "audio/a", "steps": 1}, {"sources": {"x": {"audio": "audio/a", "weight": 1.0}}, "steps": 1}
    assert differences(old, new, "") == differences(new, old, "") == []
    words = '--sources "{x: {audio: audio/b}}"'
    require_as_listed(Path("row"), {"audio": "audio/b"}, words)
    with pytest.raises(ValueError, match="row was made with audio=audio/a, the list of rows says audio/b"):
        require_as_listed(Path("row"), new, words)
    with pytest.raises(ValueError, match=r"made with augment\.time_masks=nothing of that name"):
        require_as_listed(Path("row"), new, "--augment.time_masks 2")
