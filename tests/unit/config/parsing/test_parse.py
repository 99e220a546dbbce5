"""YAML files and overrides to dataclasses: exact types, one-line errors, status 2, and no torch on the way."""

import errno
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.config.inspection.shards import InspectShardsConfig, VerifyShardsConfig
from megatron_speech.config.parsing.parse import dump_yaml, parse_config, user_errors
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig

ROOT = Path(__file__).resolve().parents[4]
EXAMPLES = ROOT / "examples" / "miniature"
NO_PATH = "whole.path is missing; it has no default, give it: --whole.path PATH or path: in the YAML"
SCHEMA_OF = {
    "vocabulary": BuildVocabularyConfig,
    "text_to_token_vocabulary": BuildVocabularyConfig,
    "text_tokens": TokenizeTextConfig,
    "text_heldout_tokens": TokenizeTextConfig,
    **{path.stem: PackShardsConfig for path in EXAMPLES.glob("pack_*.yaml")},
}


@dataclass(frozen=True, kw_only=True)
class _Inner:
    size: int = 1
    """A size."""
    weight: float | None = None
    """A weight."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size={self.size} must be at least 1; raise it")


@dataclass(frozen=True, kw_only=True)
class _Whole:
    path: Path
    """A file."""
    kind: Literal["a", "b"] = "a"
    """A choice."""
    voices: tuple[str, ...] = ()
    """Names."""
    note: str | None = None
    """Text."""
    inner: _Inner = field(default_factory=_Inner)
    """Nested deeper."""


@dataclass(frozen=True, kw_only=True)
class _Outer:
    folder: Path
    """A folder."""
    inner: _Inner = field(default_factory=_Inner)
    """Nested."""
    by_name: dict[str, _Inner] = field(default_factory=dict)
    """Nested by name."""
    whole: _Whole | None = None
    """Nested, or left out."""

    def __post_init__(self) -> None:
        if self.inner.size > 9:
            raise ValueError(f"inner.size={self.inner.size} must be at most 9; lower it")


def _parse(tmp_path: Path, text: str, *args: str) -> _Outer:
    (tmp_path / "c.yaml").write_text(text)
    return parse_config(_Outer, description="Test.", args=["--config", str(tmp_path / "c.yaml"), *args])


def _error(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, *args: str) -> str:
    with pytest.raises(SystemExit) as caught:
        _parse(tmp_path, text, *args)
    lines = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize("section", ["by_name", "whole"])
def test_a_section_that_may_be_left_out_has_its_own_help(capsys: pytest.CaptureFixture[str], section: str):
    with pytest.raises(SystemExit) as caught:
        parse_config(_Outer, description="Test.", args=[f"--{section}.help"])
    out = capsys.readouterr().out
    assert caught.value.code == 0 and "--folder" not in out
    assert ("--by_name.<name>.size SIZE" if section == "by_name" else "--whole.inner.size SIZE") in out


def test_files_then_overrides(tmp_path: Path):
    config = _parse(tmp_path, "folder: a/b\ninner: {size: 2}\nby_name: {x: {size: 5}}\n", "--inner.size", "3")
    assert config == _Outer(folder=Path("a/b"), inner=_Inner(size=3), by_name={"x": _Inner(size=5)})
    dump_yaml(config, tmp_path / "again.yaml")
    assert parse_config(_Outer, description="", args=["--config", str(tmp_path / "again.yaml")]) == config
    assert to_dict(config)["folder"] == "a/b"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sise: 3", "sise: no such key; the keys there are folder, inner, by_name, whole"),
        ("inner: {sise: 3}", "inner.sise: no such key; did you mean 'size'?"),
        ("inner: {size: 1e3}", "inner.size=1000.0 must be an integer; correct it"),
        ("inner: {size: null}", "inner.size=null must be an integer; correct it"),
        ("inner: {size: 10}", "inner.size=10 must be at most 9; lower it"),
        ("inner: {weight: x}", "inner.weight=x must be a number or null; correct it"),
        ("inner: {weight: nan}", "inner.weight=nan must be a number or null; correct it"),
        ("inner: {weight: .nan}", "inner.weight=nan must be a number or null; correct it"),
        ("inner: {weight: inf}", "inner.weight=inf must be a number or null; correct it"),
        ("inner: 3", "inner=3 must be a section with the keys size, weight; correct it"),
        ("inner:", "inner=null must be a section with the keys size, weight; correct it"),
        ("by_name:", "by_name=null must be a mapping of names to values; correct it, or write {} for none"),
        ("by_name: {x: {size: y}}", "by_name.x.size=y must be an integer; correct it"),
        ("by_name: {x: {sise: 2}}", "by_name.x.sise: no such key; did you mean 'size'?"),
        ("by_name: [x]", "by_name=['x'] must be a mapping of names to values; correct it"),
        ("whole: {path: a, kin: b}", "whole.kin: no such key; did you mean 'kind'?"),
        ("whole: {path: a, kind: c}", "whole.kind=c must be one of a, b; correct it"),
        ("whole: {path: a, voices: [b, true]}", "whole.voices[1]=true must be text; correct it"),
        ("whole: {path: a, inner: {size: x}}", "whole.inner.size=x must be an integer; correct it"),
        ("whole: {path: a, inner: {size: 0}}", "whole.inner.size=0 must be at least 1; raise it"),
        ("whole: {kind: b}", NO_PATH),
        ("whole: 3", "whole=3 must be a section with the keys path, kind, voices, note, inner or null; correct it"),
    ],
)
def test_mistakes_are_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, named: str):
    assert _error(capsys, tmp_path, f"folder: a\n{text}\n") == f"error: {named}"


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--whole.inner.size", "x"], "whole.inner.size=x must be an integer; correct it"),
        (["--whole.kind=c", "--whole.path", "3"], "whole.kind=c must be one of a, b; correct it"),
        (["--whole.kind", "b"], NO_PATH),
        (["--by_name.x.size", "y"], "by_name.x.size=y must be an integer; correct it"),
        (["--inne.size", "2"], "inne: no such key; did you mean 'inner'?"),
        (["--inner.weight", "null", "--inner.size", "1.5"], "inner.size=1.5 must be an integer; correct it"),
        (["--inner.size", "["], "inner.size=[ must be an integer; correct it"),
        (["--inner.weight", "%x"], "inner.weight=%x must be a number or null; correct it"),
        (["--by_name", "{a"], "by_name={a must be a mapping of names to values; correct it"),
        (["--whole.note", "|x"], NO_PATH),
        (["--inner.size"], "--inner.size: expected one argument; write --inner.size VALUE, or --inner.size=VALUE"),
    ],
)
def test_overrides_are_told_their_mistakes_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str], named: str
):
    assert _error(capsys, tmp_path, "folder: a\n", *args) == f"error: {named}"


def test_text_that_is_no_yaml_is_text(tmp_path: Path):
    assert _parse(tmp_path, "folder: a\nwhole: {path: a}\n", "--whole.note", "|x%[").whole.note == "|x%["


def test_a_missing_key_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    says = "folder is missing; it has no default, give it: --folder FOLDER or folder: in the YAML"
    assert _error(capsys, tmp_path, "inner: {size: 2}\n") == f"error: {says}"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("folder: a\nfolder: b\n", ":2: key folder already stands in line 1; keep one of them"),
        ("folder: a\ninner:\n  size: 1\n  size: 2\n", ":4: key inner.size already stands in line 3; keep"),
        ("folder: a\nby_name: {x: {size: 1}, x: {size: 2}}\n", ":2: key by_name.x already stands in line 2; keep"),
        ("folder: [a\nb: c]\n", ":2: not YAML"),
        ("- folder\n", ": must be a mapping of keys to values"),
        ("", ": holds no key; write each as key: value"),
        ("null\n", ": holds no key; write each as key: value"),
        ("inner: {size: !!int '-'}\n", ":1: holds the tag tag:yaml.org,2002:int; leave it out"),
    ],
)
def test_a_faulty_file_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, named: str
):
    assert f"{tmp_path / 'c.yaml'}{named}" in _error(capsys, tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    missing = str(tmp_path / "d.yaml")
    assert f"{missing}: no such file; correct the path" in _error(capsys, tmp_path, "folder: a\n", "--config", missing)


def test_user_errors_are_one_line_and_bugs_keep_their_traceback(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit), user_errors():
        raise FileNotFoundError("no\n  such file")
    assert capsys.readouterr().err == "error: no such file\n"
    with pytest.raises(SystemExit), user_errors():
        raise ConnectionError("no answer; check the network")
    assert capsys.readouterr().err == "error: no answer; check the network\n"
    with pytest.raises(KeyError), user_errors():
        raise KeyError("a bug")


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (errno.ENOSPC, "a/b: No space left on device; free some, or choose another place"),
        (errno.EACCES, "a/b: Permission denied; change the permissions, or choose another place"),
        (errno.EROFS, "a/b: Read-only file system; choose another place"),
        (errno.ENOTDIR, "a/b: Not a directory; a part of this path is a file, correct the path"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(capsys: pytest.CaptureFixture[str], number: int, line: str):
    with pytest.raises(SystemExit) as caught, user_errors():
        raise OSError(number, os.strerror(number), "a/b")
    assert caught.value.code == 2 and capsys.readouterr().err == f"error: {line}\n"


def test_an_output_below_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit), user_errors(), make_artifact(tmp_path / "file" / "out", kind="test", config={}):
        pass
    assert "Not a directory; a part of this path is a file, correct the path" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EBADF, errno.EACCES])
def test_other_errors_of_the_system_keep_their_traceback(number: int):
    with pytest.raises(OSError, match=os.strerror(number)), user_errors():
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("stem", sorted(SCHEMA_OF))
def test_the_miniatures_token_files_parse(stem: str):
    parse_config(SCHEMA_OF[stem], description="", args=["--config", str(EXAMPLES / f"{stem}.yaml")])


@pytest.mark.parametrize("folders", ["a/b", "[a, b]"])
def test_one_folder_or_several_survive_printing(tmp_path: Path, capsys: pytest.CaptureFixture[str], folders: str):
    args = ["--input", folders, "--output", "o"]
    with pytest.raises(SystemExit):
        parse_config(PackShardsConfig, description="", args=[*args, "--print_config"])
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    again = parse_config(PackShardsConfig, description="", args=["--config", str(tmp_path / "printed.yaml")])
    assert again == parse_config(PackShardsConfig, description="", args=args)
    assert again.inputs == ([Path("a"), Path("b")] if "," in folders else [Path("a/b")])


@pytest.mark.parametrize(
    ("schema", "fields", "rule"),
    [
        (BuildVocabularyConfig, {"output": "o"}, "give exactly one of them"),
        (BuildVocabularyConfig, {"output": "o", "codebook_size": -1}, "codebook_size=-1"),
        (BuildVocabularyConfig, {"output": "o", "codebook_size": 1, "padding_multiple": 0}, "padding_multiple=0"),
        (TokenizeTextConfig, {"corpora": {}, "vocabulary": "v", "output": "o"}, "names no corpus"),
        (PackShardsConfig, {"input": "i", "output": "o", "seq_length": 1}, "seq_length=1"),
        (PackShardsConfig, {"input": "i", "output": "o", "shard_tokens": 0}, "shard_tokens=0"),
        (VerifyShardsConfig, {"folders": []}, "names nothing to verify"),
        (PackShardsConfig, {"input": "i", "output": "o", "memory": 1000}, "memory=1000"),
        (PackShardsConfig, {"input": ["i", "i"], "output": "o"}, "at least one folder and none twice"),
        (PackShardsConfig, {"input": "i", "output": "o", "seq_length": 2, "cut_speech_spans": False}, "seq_length=2"),
    ],
)
def test_rules_of_the_token_tools(schema: type, fields: dict, rule: str):
    with pytest.raises(ValueError, match=rule):
        schema(**fields)


@pytest.mark.parametrize(
    "tool", ["build_vocabulary", "tokenize_text", "pack_shards", "inspect_shards", "verify_shards"]
)
def test_help_does_not_import_what_is_heavy(tool: str):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['{tool}', '--help']\n"
        "try:\n"
        f"    runpy.run_path('tools/{tool}.py', run_name='__main__')\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'torch', 'transformers', 'tokenizers', 'numpy', 'webdataset'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--config" in done.stdout


def test_inspect_needs_only_a_folder():
    assert InspectShardsConfig(folder=Path("packed/text")).samples == 3
