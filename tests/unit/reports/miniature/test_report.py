"""A run folder as the steps would leave it, whole and in part."""

import json
import math
import re
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest

from megatron_speech.config.reports.report import ReportConfig
from megatron_speech.reports.miniature.build import report
from tests.kept import kept_facts, kept_record
from tests.toys import write_jsonl


def artifact(folder, facts, **config):
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"kind": "any", "config": config, "inputs": {}, "facts": facts}))


def estimate(value, items=48):
    reach = 1.96 * math.sqrt(value * (1 - value) / items)
    return {"value": value, "low": max(0, value - reach), "high": min(1, value + reach), "items": items}


def loss(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "items": 40, "tokens": 900}


def own_words(value):
    groups = {"spoken": estimate(value, 40), "written_only": estimate(value / 2, 38)}
    return {"words_in_order": estimate(value, 78), "subsets": groups, "wrong": {"no answer": 1}}


def evaluation(shift):
    pairs = ("text->text", "speech->text", "text->speech", "speech->speech")
    return {
        "model": "hf",
        "cloze": {
            "WikiTopicCloze": {
                pair: estimate(value + shift) for pair, value in zip(pairs, (0.9, 0.5, 0.48, 0.52), strict=True)
            },
            "WikiSameTopicCloze": {
                pair: estimate(value + shift) for pair, value in zip(pairs, (0.85, 0.5, 0.5, 0.45), strict=True)
            },
            "chance": 0.5,
            "score": "log-likelihood per token",
        },
        "geo_qa": {
            "text->text": {"spoken": estimate(0.6 + shift, 91), "written_only": estimate(0.55 + shift, 91)},
            "speech->text": {"spoken": estimate(0.25 + shift, 91), "written_only": estimate(0.24 + shift, 91)},
            "chance": 0.25,
            "score": "log-likelihood in sum",
        },
        "questions": {
            "capitals": {
                pair: own_words(value + shift) for pair, value in (("text->text", 0.4), ("speech->text", 0.1))
            },
            "matcher": "words_in_order",
        },
        "recognition": {"heldout": {"wer": estimate(0.7 - shift, 16), "items": 16}, "normalizer": "english"},
        "synthesis": {"heldout": {"wer": estimate(0.9 - shift, 16), "items": 16}, "normalizer": "english"},
        "held_out": {
            "text": {"documents": 40, "text": loss(3.1 - shift)},
            "recognition": {"documents": 40, "text": loss(4.0 - shift)},
        },
        "dtype": "float32",
    }


def metrics(steps):
    random = np.random.default_rng(0)
    for step in range(1, steps + 1):
        text, speech = (3.2 + 0.8 * math.exp(-step / 12), 4.8 + 2.5 * math.exp(-step / 15))
        noise = random.normal(0, 0.12, 6)
        yield kept_record(
            "metrics",
            step=step,
            tokens={"text": 1500 * step, "speech": 2300 * step},
            loss=4.0,
            losses={
                "text": {"text": text - 0.2 + noise[0]},
                "interleaved": {"text": text + noise[1], "speech": speech + noise[2]},
                "recognition": {"text": text + 0.4 + noise[3]},
                "synthesis": {"speech": speech - 0.3 + noise[4]},
            },
            loss_by_modality={"text": text + noise[1] / 2, "speech": speech + noise[5] / 2},
        )


@pytest.fixture
def run(tmp_path):
    """A finished run."""
    lengths = np.arange(1, 23)
    poisson = [math.exp(-10) * 10**k / math.factorial(k) for k in lengths.tolist()]
    counts = (2000 / np.arange(1, 1025) ** 0.6).astype(int).tolist()
    part = {"documents": 6000, "characters": 1_500_000, "unspeakable": 120}
    artifact(tmp_path / "corpus", dict.fromkeys(("train", "heldout", "geography", "questions", "cloze"), part))
    for name in ("train", "heldout", "human", "questions", "cloze"):
        artifact(tmp_path / "audio" / name, kept_facts("audio", utterances=1400, hours=1.9))
        used = {"speech_tokens": 85_000, "codes_used": 1024, "perplexity": 730.2, "code_counts": counts}
        artifact(tmp_path / "codes" / name, kept_facts("speech_codes", **used))
    report = kept_facts("speech_tokenizer_report", codebook_size=1024)
    read = {**next(iter(report["error_rates"].values())), "wer": 0.412, "cer": 0.25, "words": 520}
    report["error_rates"] = {"heldout, from codes": read, "heldout, without bottleneck": read}
    artifact(tmp_path / "tokenizer_report", report)
    artifact(tmp_path / "t2t/hf", kept_facts("hugging_face", parameters=7_600_000))
    trip = kept_facts("round_trip", wer=0.91, cer=0.7, wer_true_codes=0.4, failures=2)
    artifact(tmp_path / "t2t/round_trip", trip)
    write_jsonl(tmp_path / "t2t/run/metrics.jsonl", *metrics(60))
    drawn = {
        "words": lengths.tolist(),
        "spans": np.random.default_rng(0).multinomial(1100, np.array(poisson) / sum(poisson)).tolist(),
        "poisson": poisson,
        "mean": 10.0,
    }
    interleaved = kept_facts("interleaved", documents=300, spans=1100, ratio_spoken=0.297, span_lengths=drawn)
    artifact(tmp_path / "documents/interleaved", interleaved)
    artifact(tmp_path / "assets" / "small", {"model": "SmallText-Instruct (4 bits)"})
    artifact(tmp_path / "base", kept_facts("checkpoint", parameters=135_200_000), model="assets/small")
    write_jsonl(tmp_path / "pretrain/metrics.jsonl", *metrics(80))
    write_jsonl(tmp_path / "pretrain/validation.jsonl", {"step": 80, "losses": {"text": {"text": 3.2}}})
    tokens = {"text": {"planned": 19_456, "read": 19_456}, "interleaved": {"planned": 46_080, "read": 46_080}}
    (tmp_path / "pretrain/done.json").write_text(json.dumps({"steps": 80, "tokens_by_source": tokens}))
    (tmp_path / "pretrain/logs").mkdir()
    (tmp_path / "pretrain/logs/rank_0.log").write_text("resumed from pretrain/checkpoints/step_000040\n")
    artifact(tmp_path / "evaluation/before", evaluation(-0.03))
    artifact(tmp_path / "evaluation/after", evaluation(0.03))
    (said, *_) = kept_facts("samples")["samples"]
    said |= {"spoken": "It is a hill.", "recognition": "it is\na hill", "continuation": ""}
    artifact(tmp_path / "sample", {"samples": [said]})
    decoder = kept_facts("speech_decoder", parameters=3_100_000, steps=300, hours=1.8, heldout_l1=0.69)
    artifact(tmp_path / "speech_decoder", decoder)
    judged = {"wer": 0.2, "cer": 0.1, "words": 150, "dnsmos": 2.5}
    artifact(
        tmp_path / "wav",
        {
            "vocoder": "present",
            "utterances": 12,
            "recognizer": "whisper-base",
            "original": judged,
            "resynthesis": judged,
        },
    )
    write_jsonl(tmp_path / "timings.jsonl", {"step": "corpus", "seconds": 4.2}, {"step": "pretrain", "seconds": 605.0})
    return tmp_path


def report_of(folder):
    report(ReportConfig(folder=folder))
    return (folder / "report.md").read_text()


def test_a_whole_run_fills_every_section_and_figure(run):
    text = report_of(run)
    figures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert sorted(figures) == ["accuracy.png", "codebook.png", "geo_qa.png", "losses.png", "spans.png"]
    assert all((run / figure).stat().st_size > 10_000 for figure in figures)
    assert "resumed in another parallel layout after step 40" in text
    assert "27.0 % (17.9-36.1)" in text, "the spoken question, with its interval"
    assert "10 min 09 s" in text, "the sum of the timings"
    assert "| recognition from codes, WER, 12.5 Hz | 2.10 % (LibriSpeech clean) | 41.2 % |" in text
    assert "another test set" in text
    assert "`it is a hill` |" in text, "what a model writes cannot break the table"
    assert "| interleaved | 46,080 | 46,080 | 70.3 % |" in text, "tokens by source against the plan"
    assert "None" not in text and "nan" not in text


def test_one_table_has_every_task_with_interval_chance_topline_and_items(run):
    text = report_of(run)
    _, header, rest = text.partition("| task | asked how | before | after | chance | topline | items |\n")
    rows = [line.strip("| ").split(" | ") for line in rest.partition("\n\n")[0].splitlines()[1:]]
    assert header and len(rows) == 8 + 8 + 2 and {len(row) for row in rows} == {7}
    cells = {(row[0], row[1]): row[2:] for row in rows}
    assert cells["WikiTopicCloze", "speech to text, likelihood"] == [
        *("47.0 % (32.9-61.1)", "53.0 % (38.9-67.1)", "50 %", "93.0 % (85.8-100.0)", "48")
    ]
    only_written = "GeoQA, capital only written"
    assert cells[only_written, "spoken question, likelihood"][1:4] == [
        *("27.0 % (17.9-36.1)", "25 %", "58.0 % (47.9-68.1)")
    ]
    assert cells[only_written, "written question, own words"][2:] == ["-", "-", "38"]
    assert cells[only_written, "spoken question, own words"][1:4] == [
        *("6.5 % (0.0-14.3)", "-", cells[only_written, "written question, own words"][1])
    ]
    assert cells["recognition, word errors", "held-out speech to text"][:2] == [
        *("73.0 % (51.2-94.8)", "67.0 % (44.0-90.0)")
    ]
    assert cells["synthesis, word errors", "held-out text to speech"][3].startswith("41.2 % (")
    facts = json.loads((run / "tokenizer_report" / "manifest.json").read_text())["facts"]
    heard = facts["error_rates"]["heldout, from codes"]["utterances"]
    for task, how in (("synthesis", "held-out text to speech"), ("recognition", "held-out speech to text")):
        assert cells[f"{task}, word errors", how][3].endswith(f"), {heard} utterances"), "not those of the row"


@pytest.mark.parametrize("task", ["cloze", "geo_qa", "questions", "recognition", "synthesis"])
def test_a_task_that_was_not_asked_is_not_reported(run, task):
    for when in ("before", "after"):
        path = run / "evaluation" / when / "manifest.json"
        manifest = json.loads(path.read_text())
        del manifest["facts"][task]
        path.write_text(json.dumps(manifest))
    assert re.search(r"^\| .* \| not reported \| not reported \| .* \| not reported \|$", report_of(run), re.MULTILINE)


def test_the_report_names_the_model_that_training_started_from(run):
    """By the words of the asset, which tell an instruct model and rounded weights from others."""
    assert "It started from SmallText-Instruct (4 bits)." in report_of(run)
    shutil.rmtree(run / "assets")
    assert "It started from assets/small." in report_of(run)
    (run / "pretrain/config.yaml").write_text("model: {base: scratch}\n")
    assert "It started from random weights." in report_of(run)


def test_an_absent_fact_is_said_to_be_absent(run):
    text = report_of(run)
    assert re.search(r"word error rate of the synthetic speech, a sample read back \| not reported", text)


def test_a_manifest_that_lacks_a_fact_is_named(run):
    path = run / "documents/interleaved/manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["facts"]["spans_failed"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"interleaved/manifest\.json: facts.spans_failed is missing; make .* again"):
        report_of(run)


def test_an_empty_run_gives_a_report_of_what_was_not_run(tmp_path):
    text = report_of(tmp_path)
    for step in ("corpus", "tokenizer_report", "t2t/round_trip", "pretrain/metrics.jsonl", "evaluation/after", "wav"):
        assert f"- `{step}`: not run" in text
    assert "What a run of this size can and cannot show" in text


def test_a_step_that_was_begun_is_not_a_result(tmp_path):
    (tmp_path / "tokenizer_report.partial").mkdir()
    assert "- `tokenizer_report`: begun but not finished" in report_of(tmp_path)


def test_without_a_vocoder_the_report_says_so(run):
    artifact_file = run / "wav" / "manifest.json"
    artifact_file.write_text(json.dumps({"kind": "any", "facts": {"vocoder": "absent"}}))
    assert "no WAV was made" in report_of(run)


def test_every_wav_has_a_player_beside_its_text(run):
    for name in ("u 1&2.original.wav", "u 1&2.generated.wav", "kept.original.wav"):
        (run / "wav" / name).write_bytes(b"RIFF")
    heard = {"original": {"heard": "Is it <b>?"}}
    write_jsonl(run / "wav/scores.jsonl", {"key": "u 1&2", "text": "Is it < 2 & odd?", **heard})
    manifest = json.loads((run / "sample/manifest.json").read_text())
    said = {"id": "u 1&2", "recognition": "<i>", "continuation": "", "spoken_text_as_heard": "a hill"}
    manifest["facts"]["samples"][0] |= said
    (run / "sample/manifest.json").write_text(json.dumps(manifest))
    assert "[samples.html](samples.html)" in report_of(run)
    players, shown = Players(), (run / "samples.html").read_text()
    players.feed(shown)
    assert {(run / unquote(source)).name for source in players.sources} == {path.name for path in run.glob("wav/*.wav")}
    assert all((run / unquote(source)).is_file() for source in players.sources)
    assert players.headings == ["kept", "Is it < 2 & odd?"]
    assert not players.tags & {"script", "link", "iframe", "b", "i"} and "//" not in shown, "nothing from outside"
    assert "heard as: <bdi>Is it &lt;b&gt;?</bdi>" in shown and "heard as: <bdi>a hill</bdi>" in shown
    assert "asked what was said: <bdi>&lt;i&gt;</bdi></p>" in shown and "asked to go on: (nothing)</p>" in shown


HOSTILE = "</h2></section><script>alert(1)</script> \"' onerror=x <!-- &lt; שלום عليكم \u202e\0"


def test_hostile_texts_stay_texts(run):
    name = "a\"b'#%<i>"
    (run / "wav" / f"{name}.original.wav").write_bytes(b"RIFF")
    write_jsonl(run / "wav/scores.jsonl", {"key": name, "text": HOSTILE, "original": {"heard": HOSTILE}})
    report_of(run)
    players = Players()
    players.feed((run / "samples.html").read_text())
    players.close()
    assert not players.path and "".join(players.headings) == HOSTILE
    assert players.tags == {"html", "meta", "title", "style", "h1", "section", "h2", "small", "p", "br", "audio", "bdi"}
    assert [(run / unquote(source)).is_file() for source in players.sources] == [True]


def test_without_wav_files_there_is_no_page(run):
    assert "samples.html" not in report_of(run) and not (run / "samples.html").exists()


class Players(HTMLParser):
    """Sources of players, headings and tags of a page."""

    def __init__(self):
        super().__init__()
        self.sources, self.headings, self.tags, self.open, self.path = [], [], set(), "", []

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs)), "an attribute stands once"
        self.tags.add(tag)
        self.open = tag
        if tag not in ("meta", "br"):
            self.path.append(tag)
        if tag == "audio":
            self.sources.append(dict(attrs)["src"])

    def handle_data(self, data):
        if self.open == "h2" and data.strip():
            self.headings.append(data)

    def handle_endtag(self, tag):
        self.open = ""
        assert self.path.pop() == tag, "what opens last closes first"


def test_a_broken_line_is_named(run):
    with (run / "pretrain/metrics.jsonl").open("a") as file:
        file.write('{"step": 81, "lo')
    with pytest.raises(ValueError, match=r"metrics\.jsonl:81 is not JSON"):
        report_of(run)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run\.sh"):
        report_of(tmp_path / "nowhere")


def test_two_small_models_say_whether_what_was_written_answers_what_is_asked_aloud(run):
    report(ReportConfig(folder=run))
    assert "what is asked aloud?" not in (run / "report.md").read_text(), "small budgets leave that part out"
    artifact(run / "claim/arms/interleaved/0/evaluation", evaluation(0.05))
    report(ReportConfig(folder=run))
    text = (run / "report.md").read_text()
    assert "| with interleaved documents | 60.0 % (" in text and "| 30.0 % (" in text and "| 29.0 % (" in text
    assert "| with pairs of text and speech alone | not reported |" in text
    assert "- `claim/arms/paired/0/evaluation`: not run" in text
