"""Mixtures planned by sizes or folders: the paper's table comes out of its inputs, and what is missing is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from megatron_speech.config.inspection.plan_mixture import PlanMixtureConfig
from megatron_speech.config.parsing.parse import parse_config
from megatron_speech.data.plan.plan import Plan
from megatron_speech.data.plan.table import describe, require_epochs
from megatron_speech.data.shards.index import FolderIndex
from megatron_speech.planning.mixture import plan_mixture
from tests.toys import packed_folder

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "mixture"


def _config(name: str, *overrides: str) -> PlanMixtureConfig:
    return parse_config(PlanMixtureConfig, description="", args=["--config", str(EXAMPLES / name), *overrides])


def test_the_papers_table_is_reproduced(tmp_path: Path):
    plan = plan_mixture(_config("paper.yaml", "--output", str(tmp_path / "plan.json")))
    _, *sources, total = [line.split() for line in describe(plan).splitlines()]
    # name, tokens, share, epochs and text as in the paper's table: 734B x 0.90, 31B x 2.10, 14.5B x 2.07, 10T x 0.03
    assert [[row[0], *row[3:6], row[7]] for row in sources] == [
        ["interleaved", "660.6B", "62.6%", "0.90", "38%"],
        ["speech", "65.1B", "6.2%", "2.10", "0%"],
        ["supervised", "30.0B", "2.8%", "2.07", "24%"],
        ["text", "300.0B", "28.4%", "0.03", "100%"],
    ]
    assert total == ["total", "128,871,461", "1,055.7B", "100.0%"]
    assert Plan.from_json(json.loads((tmp_path / "plan.json").read_text())) == plan


def test_a_plan_of_several_stages_is_exactly_its_tokens():
    plan = plan_mixture(_config("stages.yaml"))
    require_epochs(plan, "data.sources")
    assert [stage.samples for stage in plan.stages] == [-(-9 * 10**11 // 8192), -(-(10**11) // 8192)]
    names = [source.name for source in plan.sources]
    first = {names[index]: rows for index, rows in plan.stages[0].budgets.items()}
    assert first["text"] == 3 * plan.stages[0].samples // 10
    assert first["speech"] == plan.sources[names.index("speech")].rows


def test_rows_are_counted_where_folders_exist(tmp_path: Path):
    packed_folder(tmp_path / "text", [12] * 100)
    config = _config(
        "paper.yaml",
        *("--data.sources", "null", "--sizes", "null"),  # none of the file's
        *(
            "--data.sources",
            f"{{text: {{task: interleaved, folder: {tmp_path / 'text'}}}, more: {{task: text, folder: x}}}}",
        ),
        *("--data.stages", "[{sources: {text: {epochs: 1.0}, more: {epochs: 1.0}}}]"),
        *("--data.seq_length", "16", "--sizes", "{more: {rows: 5}}"),
    )
    plan = plan_mixture(config)
    rows = FolderIndex.load(tmp_path / "text").items
    assert [(source.name, source.rows) for source in plan.sources] == [("text", rows), ("more", 5)]
    assert plan.num_samples == rows + 5


def test_what_is_missing_is_named(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(FileNotFoundError, match=r"^data\.sources\.text\.folder=.* packed shards; .*sizes\.text"):
        plan_mixture(_config("paper.yaml", "--data.sources.text.folder", "nowhere", *_without("text")))
    with pytest.raises(SystemExit):
        _config("paper.yaml", "--sizes", "{other: {rows: 1}}")
    assert "sizes.other is none of data.sources" in capsys.readouterr().err
    for values in ("{speech_tokens: 0}", "{rows: 0}", "{text_tokens: -1}"):
        with pytest.raises(SystemExit):
            _config("paper.yaml", "--sizes", f"{{speech: {values}}}")
        assert "error: sizes.speech" in capsys.readouterr().err


@pytest.mark.parametrize("ending", [".tar", ".mspx"])
def test_a_lost_shard_is_named_before_the_run(tmp_path: Path, ending: str):
    folder = packed_folder(tmp_path / "text", [12] * 100)
    source = ["--data.sources.text.folder", str(folder), "--data.sources.text.task", "interleaved"]
    source += ["--data.seq_length", "16", *_without("text")]
    assert plan_mixture(_config("paper.yaml", *source)).sources
    (folder / f"packed-000000{ending}").unlink()
    rule = rf"^data\.sources\.text\.folder={folder}/packed-000000\.tar or its sidecar is missing, 1 of 1 shards"
    with pytest.raises(FileNotFoundError, match=rule):
        plan_mixture(_config("paper.yaml", *source))


def _without(name: str) -> list[str]:
    sizes = {key: {"rows": 9} for key in ("interleaved", "speech", "supervised", "text") if key != name}
    return ["--sizes", "null", "--sizes", json.dumps(sizes)]
