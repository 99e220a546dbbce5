"""The command line is data: any key by dots, files and words in their order, lists of one, and nothing is imported."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.config.parsing.parse import parse_config
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.parsing.yaml_text import write_yaml
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from tests.schemas import ROOT, TOOLS, least_settings, schema


@dataclass(frozen=True, kw_only=True)
class _Leaf:
    size: int = 1
    names: list[str] = field(default_factory=list)
    note: str | None = None
    any: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.size > 9:
            raise ValueError(f"size={self.size} must be at most 9; lower it")


@dataclass(frozen=True, kw_only=True)
class _Branch:
    leaves: dict[str, _Leaf] = field(default_factory=dict)
    leaf: _Leaf = field(default_factory=lambda: _Leaf(size=3, note="kept"))
    maybe: _Leaf | None = None


@dataclass(frozen=True, kw_only=True)
class _Tree:
    branches: dict[str, _Branch] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    span: tuple[float, float] = (1.0, 2.0)
    voices: tuple[str, ...] = ()
    one_or_more: list[Path] | Path = Path("x")
    place: str | Path = "here"
    shares: dict[str, float] = field(default_factory=lambda: {"a": 1.0})
    kind: Literal["no", "yes"] = "no"
    flag: bool = False
    rate: float = 1.0
    text: str = ""
    path: Path | None = None
    stages: list[_Leaf] = field(default_factory=list)


def _parse(*args: str) -> _Tree:
    return parse_config(_Tree, description="", args=args)


def _error(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as caught:
        _parse(*args)
    lines = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2 and len(lines) == 1
    return lines[0].removeprefix("error: ")


def test_any_key_is_given_by_dots_without_a_file():
    tree = _parse(
        "--branches.a.leaves.b.size", "5", "--branches.a.leaves.c.any.x.y", "[1, z]", "--branches.d.maybe.note=n",
        "--shares.b", "2",
    )  # fmt: skip
    assert tree == _Tree(
        branches={
            "a": _Branch(leaves={"b": _Leaf(size=5), "c": _Leaf(any={"x": {"y": [1, "z"]}})}),
            "d": _Branch(maybe=_Leaf(note="n")),
        },
        shares={"b": 2.0},
    )


def test_files_mappings_and_dots_win_in_the_order_in_which_they_stand(tmp_path: Path):
    for name, size in (("one", 1), ("two", 2)):
        values = {"branches": {"a": {"leaf": {"size": size, "note": name}, "leaves": {name: {}}}}}
        (tmp_path / f"{name}.yaml").write_text(write_yaml(values))
    one, two = (f"--config={tmp_path}/{name}.yaml" for name in ("one", "two"))
    inline, dots = "--branches={a: {leaf: {size: 7}, leaves: {three: {}}}}", "--branches.a.leaf.size=8"

    def leaf(*args: str) -> tuple[int, str | None, list[str]]:
        branch = _parse(*args).branches["a"]
        return branch.leaf.size, branch.leaf.note, list(branch.leaves)

    assert leaf(one, two) == (2, "two", ["one", "two"])
    assert leaf(two, one) == (1, "one", ["two", "one"])
    assert leaf(one, inline, two) == (2, "two", ["one", "three", "two"])
    assert leaf(dots, inline, one) == (1, "one", ["three", "one"])
    assert leaf(inline, dots) == (8, "kept", ["three"])
    assert leaf(dots, inline) == (7, "kept", ["three"])
    assert leaf("--branches={a: {leaves: {four: {}}}}", inline) == (7, "kept", ["four", "three"])
    assert leaf(one, "--branches.a.leaves=null", inline) == (7, "one", ["three"])
    assert leaf(one, "--branches=null", inline) == (7, "kept", ["three"])
    assert leaf(one, inline, "--branches", '{"a": {"leaf": {"note": null}}}') == (7, None, ["one", "three"])


def test_what_two_places_of_a_file_share_is_overridden_in_one(tmp_path: Path):
    (tmp_path / "c.yaml").write_text("branches: {a: &a {leaf: {size: 2}}, b: *a}")
    tree = _parse("--config", str(tmp_path / "c.yaml"), "--branches.a.leaf.size", "4")
    assert [branch.leaf.size for branch in tree.branches.values()] == [4, 2]


def test_a_section_keeps_the_defaults_of_its_own_place():
    assert _parse("--branches.a.leaf.names", "x").branches["a"].leaf == _Leaf(size=3, note="kept", names=["x"])


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--folders", "a,b"], {"folders": ["a,b"]}),
        (["--folders", "a", "--folders", "b"], {"folders": ["a", "b"]}),
        (["--folders", "[a, b]", "--folders=c"], {"folders": ["a", "b", "c"]}),
        (["--folders", "a", "--folders", "[b]"], {"folders": ["b"]}),
        (["--folders", "[]"], {"folders": []}),
        (["--numbers", "3"], {"numbers": [3]}),
        (["--voices", "5"], {"voices": ["5"]}),
        (["--one_or_more", "a"], {"one_or_more": "a"}),
        (["--one_or_more", "[a]"], {"one_or_more": ["a"]}),
        (["--stages", "{size: 2}"], None),
        (["--text", "a", "--text", "b"], {"text": "b"}),
        (["--text", "{a: 1}", "--text", "{b: 1}"], {"text": "{b: 1}"}),
        (["--text", "[x]"], {"text": "[x]"}),
        (["--text=--x"], {"text": "--x"}),
        (["--text", "-x"], {"text": "-x"}),
        (["--text", "null"], {"text": "null"}),
        (["--text", ""], {"text": ""}),
        (["--path", "null"], {"path": None}),
        (["--path", "a: b"], {"path": "a: b"}),
        (["--place", "s3://a/b"], {"place": "s3://a/b"}),
        (["--kind", "no"], {"kind": "no"}),
        (["--rate", "1e-3"], {"rate": 0.001}),
        (["--rate", "3"], {"rate": 3.0}),
        (["--flag", "True"], {"flag": True}),
        (["--span", "[3, 4]"], {"span": [3.0, 4.0]}),
    ],
)
def test_words_are_read_by_the_type_of_their_key(
    args: list[str], expected: dict[str, Any] | None, capsys: pytest.CaptureFixture[str]
):
    if expected is None:
        assert "must be a list in brackets" in _error(capsys, *args)
    else:
        assert to_dict(_parse(*args)) == {**to_dict(_Tree()), **expected}


@pytest.mark.parametrize("text", ["folders: a\nnumbers: 3\nvoices: b", "folders: [a]\nnumbers: [3]\nvoices: [b]"])
def test_a_file_too_needs_no_brackets_for_a_list_of_one(tmp_path: Path, text: str):
    (tmp_path / "c.yaml").write_text(text)
    tree = _parse("--config", str(tmp_path / "c.yaml"))
    assert (tree.folders, tree.numbers, tree.voices) == ([Path("a")], [3], ("b",))


def test_an_option_that_takes_one_path_or_several_keeps_all_that_are_repeated():
    words = ["--output", "packed", "--seq_length", "128"]
    one = parse_config(PackShardsConfig, description="", args=["--input", "a", *words])
    two = parse_config(PackShardsConfig, description="", args=["--input", "a", *words, "--input", "b"])
    assert (one.inputs, two.inputs) == ([Path("a")], [Path("a"), Path("b")])


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["a"], "a: no option; write --key value, and a list of several as '[a, b]'"),
        (["--folders", "a", "b"], "b: no option; write --key value, and a list of several as '[a, b]'"),
        (["-folders", "a"], "-folders: no option; write --key value, and a list of several as '[a, b]'"),
        (["--"], "--: no option; write --key value, and a list of several as '[a, b]'"),
        (["--flag"], "--flag: expected one argument; write --flag VALUE, or --flag=VALUE"),
        (["--flag", "--text", "x"], "--flag: expected one argument; write --flag VALUE, or --flag=VALUE"),
        (["--flag", "yes"], "flag=yes must be true or false; correct it"),
        (["--flag", "1"], "flag=1 must be true or false; correct it"),
        (["--print_config=x"], "print_config: no such key; the keys there are "),
        (["--branches.a.b.c", "1"], "branches.a.b: no such key; the keys there are leaves, leaf, maybe"),
        (["--branches.", "1"], "branches: the name '' must be text; write it in quotes"),
        (["--branches..leaf.size", "1"], "branches: the name '' must be text; write it in quotes"),
        (["--.x", "1"], "'': no such key; "),
        (["--branches", "{1: {}}"], "branches: the name 1 must be text; write it in quotes"),
        (["--branches.a.leaf.size", "10"], "branches.a.leaf.size=10 must be at most 9; lower it"),
        (["--text.x", "1"], "text={'x': '1'} must be text; correct it"),
        (["--folders", "null"], "folders=null must be a list in brackets; correct it"),
        (["--folders.a", "x"], "folders={'a': 'x'} must be a list in brackets; correct it"),
        (["--folders", "[[a]]"], "folders[0]=['a'] must be a path; correct it"),
        (["--folders", ""], "folders[0]='' must be a path; correct it"),
        (["--path", ""], "path='' must be a path or null; correct it"),
        (["--place", ""], "place='' must be text or a path; correct it"),
        (["--path", "a\0b"], "path=a\\x00b must be a path or null; correct it"),
        (["--text", "a\udcffb"], "text=a\\udcffb must be text; correct it"),
        (["--numbers", "1,2"], "numbers[0]=1,2 must be an integer; correct it"),
        (["--numbers", "010"], "numbers[0]=010 must be an integer; correct it"),
        (["--numbers", "9223372036854775808"], "numbers[0]=9223372036854775808 must be an integer of at most 64 bits"),
        (["--numbers", "9" * 5000], "numbers[0]=999"),
        (["--rate", ".inf"], "rate=.inf must be a number; correct it"),
        (["--rate", "-.INF"], "rate=-.INF must be a number; correct it"),
        (["--rate", ".nan"], "rate=.nan must be a number; correct it"),
        (["--rate", "1" + "0" * 400], "rate=1000"),
        (["--rate", "true"], "rate=true must be a number; correct it"),
        (["--span", "3"], "span=3 must be a list in brackets of 2 values; correct it"),
        (["--span", "[1, 2, 3]"], "span=[1, 2, 3] must be a list in brackets of 2 values; correct it"),
        (["--stages", "[{sise: 1}]"], "stages[0].sise: no such key; did you mean 'size'?"),
    ],
)
def test_mistakes_are_named_by_key_value_and_rule(capsys: pytest.CaptureFixture[str], args: list[str], named: str):
    assert _error(capsys, *args).startswith(named)


def test_all_keys_that_are_missing_are_named_at_once(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parse_config(TokenizeTextConfig, description="", args=["--corpora.a.text_key", "t"])
    line = "error: corpora.a.path, vocabulary, output are missing; they have no default, give them: "
    line += "--corpora.a.path PATH --vocabulary VOCABULARY --output OUTPUT or their keys in the YAML\n"
    assert capsys.readouterr().err == line


_NAMED = ("marker_of_imports", "marker_of_imports.Thing", "marker_of_imports.txt", "os.system", "this", "this.txt")
_KEYS = ("class_path", "init_args", "dict_kwargs", "__class__", "__path__", "_target_", "!!python/name")


@pytest.mark.parametrize("tool", TOOLS)
def test_nothing_that_is_named_is_imported(tool: str, tmp_path: Path):
    """In a process of its own: a module that is named writes a file when it is imported."""
    (tmp_path / "marker_of_imports.py").write_text("open('imported', 'w').close()\nThing = print\n")
    (tmp_path / "lines").write_text("\n".join("\0".join(args) for args in _naming(least_settings(tool))))
    kind = schema(tool)
    code = (
        f"from {kind.__module__} import {kind.__name__} as schema\n"
        "from megatron_speech.config.parsing.parse import parse_config\n"
        "import sys, pathlib, contextlib, io\n"
        "for line in pathlib.Path('lines').read_text().split('\\n'):\n"
        "    said = io.StringIO()\n"
        "    with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):\n"
        "        parse_config(schema, description='', args=line.split('\\0'))\n"
        "    assert 'this' not in sys.modules and 'marker_of_imports' not in sys.modules, line\n"
        "    assert not said.getvalue() or said.getvalue().startswith('error: '), said.getvalue()\n"
    )
    paths = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=paths, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "imported").exists()


def _naming(least: dict[str, Any]) -> list[list[str]]:
    """Command lines that name a module for every key, as a value, as an entry and as what makes a class."""
    lines = []
    for name in _NAMED:
        for key in least:
            lines += [
                [f"--{key}", name],
                [f"--{key}.own.path", name],
                [f"--{key}.own.audio", name],
                [f"--{key}.own", name],
            ]
            lines += [[f"--{key}", f"{{{special}: {name}}}"] for special in _KEYS]
            lines += [[f"--{key}.{special}", name] for special in _KEYS]
        lines += [[f"--{special}", name] for special in _KEYS]
    return lines


@given(st.lists(st.text("ab{}[]:,.='\"& *!#-\\n0", max_size=12), max_size=6))
def test_no_command_line_is_a_traceback(words: list[str]):
    try:
        _parse(*words)
    except SystemExit as left:
        assert left.code == 2
