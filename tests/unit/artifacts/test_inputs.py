"""What a setting reads is checked by its key: a folder of another stage is refused, with the command that makes one."""

from __future__ import annotations

import ast
import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.artifacts.inputs import require_input
from megatron_speech.artifacts.kinds import KINDS, kind_of
from megatron_speech.commands.table import COMMANDS
from megatron_speech.config.parsing.build import alternatives, entry_of
from megatron_speech.config.parsing.inputs import Takes, takes_of
from megatron_speech.config.parsing.near_path import did_you_mean
from tests.schemas import ROOT, TOOLS, schema

WRITTEN = {"figure", "output", "folder", "cache", "keep", "speak"}
"""Last words of the keys that are written, or made where they lack."""
OPEN = {"table", "root", "path", "gradients", "corpora"}
"""Last words of the keys whose readers take files, folders and patterns, or a path below another key."""


def typed_keys(section: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with its annotated type; an entry of a mapping or list is called `own`."""
    plain = typing.get_type_hints(section)
    for name, kind in typing.get_type_hints(section, include_extras=True).items():
        entry, suffix = entry_of(plain[name]) or (None, "")
        if entry:
            yield from typed_keys(entry, f"{prefix}{name}{'.own' if suffix else ''}.")
        else:
            yield f"{prefix}{name}", kind


def inputs_of(tool: str) -> Iterator[tuple[str, Takes]]:
    for key, kind in typed_keys(schema(tool)):
        parts = [part for each in alternatives(kind) for part in (each, *typing.get_args(each))]
        if takes := next((takes for part in parts if (takes := takes_of(part))), None):
            yield key, takes


INPUTS = [pytest.param(key, takes, id=f"{tool} {key}") for tool in TOOLS for key, takes in inputs_of(tool)]
FOLDERS = [param for param in INPUTS if typing.cast(Takes, param.values[1]).kinds]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished output of every kind that writes a manifest."""
    root = tmp_path_factory.mktemp("outputs")
    for kind in KINDS:
        (root / kind).mkdir()
        (root / kind / "manifest.json").write_text(json.dumps({"kind": kind, "facts": {}}))
    return root


def test_every_path_of_every_command_says_what_it_takes() -> None:
    for tool in [tool for tool in TOOLS if COMMANDS[tool].reads]:
        known = dict(inputs_of(tool))
        for key, kind in typed_keys(schema(tool)):
            if "Path" in str(kind) and key.rpartition(".")[2] not in WRITTEN | OPEN:
                assert key in known, f"{tool}: {key}"


@pytest.mark.parametrize(("key", "takes"), FOLDERS)
def test_a_folder_of_any_other_stage_is_refused_by_key_kind_and_remedy(key: str, takes: Takes, outputs: Path) -> None:
    for kind in KINDS.keys() - set(takes.kinds) - {"asset"}:
        with pytest.raises(ValueError) as refused:
            require_input(key, str(outputs / kind), takes)
        line = str(refused.value)
        wanted = KINDS[takes.kinds[0]]
        assert line.startswith(f"{key}={outputs / kind} holds {KINDS[kind].holds}"), line
        assert (takes.what or wanted.holds) in line and wanted.command in line and "\n" not in line, line
    for kind in takes.kinds:
        require_input(key, str(outputs / kind), takes)


@pytest.mark.parametrize(("key", "takes"), INPUTS)
def test_absent_and_mistyped_paths_and_files_for_folders(key: str, takes: Takes, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "question.wav").write_text("x")
    near, given = ("question.wav", "qestion.wav") if takes.file else ("recordings", "recording")
    if takes.may_lack:
        require_input(key, str(tmp_path / given), takes)
    else:
        with pytest.raises(FileNotFoundError, match=rf"^{key}=.*{given} does not exist; .*did you mean '.*{near}'\?$"):
            require_input(key, str(tmp_path / given), takes)
    with pytest.raises(ValueError, match=f"^{key}=.* is a {'folder' if takes.file else 'file'}; give "):
        require_input(key, str(tmp_path / ("recordings" if takes.file else "question.wav")), takes)


@pytest.mark.parametrize(("key", "takes"), FOLDERS)
def test_empty_and_unfinished_folders(key: str, takes: Takes, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun.partial").mkdir()
    (tmp_path / "begun.partial" / "part").touch()
    with pytest.raises(ValueError, match=f"^{key}=.*empty is empty; give "):
        require_input(key, str(tmp_path / "empty"), takes)
    with pytest.raises(ValueError, match=f"^{key}=.*begun.partial is not finished; run the command"):
        require_input(key, str(tmp_path / "begun.partial"), takes)
    if not takes.may_lack:
        with pytest.raises(FileNotFoundError, match=f"^{key}=.*begun is not finished: begun.partial is there; run"):
            require_input(key, str(tmp_path / "begun"), takes)


def test_a_broken_link_is_told(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(
        FileNotFoundError, match=r"^codes=.*link is a link to .*gone, which does not exist; mend the link"
    ):
        require_input("codes", str(tmp_path / "link"), Takes(("speech_codes",)))


def test_words_and_urls_are_no_paths() -> None:
    require_input("model.base", "scratch", Takes(("checkpoint",), word="scratch"))
    require_input("data.sources.a.folder", "https://host/packed", Takes(("packed",)))


def test_a_folder_without_a_sign_is_left_to_its_reader(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "an extension of a browser"}')
    assert kind_of(tmp_path) is None
    require_input("codes", str(tmp_path), Takes(("speech_codes",)))


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("run", {"config.yaml": "", "plan.json": ""}),
        ("checkpoint", {"model.json": "", "state.json": "", "checksums.json": ""}),
        ("assets", {"fetched": "", "packages": ""}),
        ("whisper", {"config.json": '{"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"]}'}),
        ("speech_tokenizer", {"config.json": '{"model_type": "whisper", "architectures": ["WhisperVQEncoder"]}'}),
        ("text_model", {"config.json": '{"architectures": ["LlamaForCausalLM"]}'}),
        ("hugging_face", {"config.json": '{"architectures": ["LlamaForCausalLM"]}', "vocabulary.json": "{}"}),
        ("vocoder", {"config.json": '{"upsample_initial_channel": 512}'}),
        ("speech_decoder", {"config.json": '{"net": {}, "identity": {}, "mel": {}}'}),
        (None, {"config.json": '{"model_type": "loudness"}'}),
        (None, {"config.json": "{"}),
        (None, {"notes.txt": ""}),
    ],
)
def test_folders_of_other_origin_are_known_by_their_files(
    kind: str | None, files: dict[str, str], tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert kind_of(tmp_path) == kind


def test_every_kind_that_a_command_makes_has_words_and_a_command() -> None:
    made = set()
    for path in (ROOT / "megatron_speech").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "make_artifact":
                made |= {word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
    assert len(made) > 15 and made <= KINDS.keys()
    assert {kind.command for kind in KINDS.values()} <= {"", *COMMANDS}
    assert all(set(takes.kinds) <= KINDS.keys() for tool in TOOLS for _, takes in inputs_of(tool))


def test_the_nearest_path_is_named_below_a_mistyped_folder(tmp_path: Path) -> None:
    (tmp_path / "packed" / "text").mkdir(parents=True)
    (tmp_path / "train.json").touch()
    assert did_you_mean(tmp_path / "packd" / "text", folder=True) == f"did you mean '{tmp_path}/packed/text'?"
    assert did_you_mean(tmp_path / "packed" / "texts", folder=True) == f"did you mean '{tmp_path}/packed/text'?"
    assert did_you_mean(tmp_path / "tain.json") == f"did you mean '{tmp_path}/train.json'?"
    assert did_you_mean(tmp_path / "train.jsonl") == f"did you mean '{tmp_path}/train.json'?"
    assert did_you_mean(tmp_path / "notes.txt") == did_you_mean(tmp_path / "trains.jsonl") == "correct the path"
    assert did_you_mean(tmp_path / "nothing" / "alike") == "correct the path"


def test_plans_alone_may_be_made_before_their_data() -> None:
    assert [name for name, command in COMMANDS.items() if not command.reads] == [
        name for name in COMMANDS if name.startswith("plan_")
    ]
