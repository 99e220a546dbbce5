"""Commands that print: libraries that take seconds are loaded after a look at the user's files, and not in silence."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from megatron_speech.commands import printed
from tests.pages.page import ROOT

SLOW = ("torch", "transformers", "megatron", "matplotlib")
"""Libraries whose import takes long on a busy machine."""
LOADED = f"""
import sys
print([name for name in {SLOW} if name in sys.modules])
"""


def quick_imports(statements: list[ast.stmt]) -> Iterator[str]:
    """Imports of a function that stand in no `with loading(...)`."""
    for statement in statements:
        if isinstance(statement, ast.ImportFrom):
            yield ast.unparse(statement)
        elif isinstance(statement, ast.With) and "loading(" in ast.unparse(statement.items[0]):
            continue
        else:
            for field in ("body", "orelse", "handlers"):
                yield from quick_imports(getattr(statement, field, []))


def loaded_after(code: str, *words: str) -> str:
    """Slow libraries that code leaves imported, as it ends."""
    command = [sys.executable, "-c", code + LOADED, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    return done.stdout.splitlines()[-1]


def test_what_is_imported_without_a_word_takes_no_seconds() -> None:
    tree = ast.parse(Path(printed.__file__).read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    imports = sorted({line for function in functions for line in quick_imports(function.body)})
    assert len(functions) > 12 and len(imports) > 10
    assert loaded_after("\n".join(imports)) == "[]"


@pytest.mark.parametrize("key", ["audio", "speak"])
def test_a_mistake_in_a_path_of_a_question_is_told_before_libraries_are_loaded(key: str, tmp_path: Path) -> None:
    (tmp_path / "note.wav").write_text("A note.")
    value = tmp_path / ("note.wav" if key == "audio" else "nowhere/answer.wav")
    code = f"""
from pathlib import Path
from megatron_speech.commands.printed import generate
from megatron_speech.config.stages.generate import GenerateConfig
folder = Path("folder")
folders = dict(model=folder, speech_tokenizer=folder, speech_decoder=folder, vocoder=folder)
asked = dict(prompt="Hello") if {key!r} == "speak" else dict()
try:
    generate(GenerateConfig(**folders, **asked, {key}=Path({str(value)!r})))
except (ValueError, FileNotFoundError) as error:
    assert {value.name!r} in str(error), error
else:
    raise AssertionError("no mistake was found")
"""
    assert loaded_after(code) == "[]"


@pytest.mark.parametrize("verb", ["encode", "decode"])
def test_a_file_that_is_none_is_told_before_libraries_are_loaded(verb: str, tmp_path: Path) -> None:
    note = tmp_path / "note.wav"
    note.write_text("A note.")
    settings = {
        "encode": "tokenize_speech import EncodeConfig as Config; keys = dict(audio=note, tokenizer=note)",
        "decode": "speech_decoder import DecodeConfig as Config; keys = dict(codes=note, decoder=note, vocoder=note)",
    }
    code = f"""
from pathlib import Path
from megatron_speech.commands.printed import {verb}
note = Path({str(note)!r})
from megatron_speech.config.stages.{settings[verb]}
try:
    {verb}(Config(**keys, output=note.with_name("answer.wav")))
except ValueError as error:
    assert "note.wav: not" in str(error), error
else:
    raise AssertionError("no mistake was found")
"""
    assert loaded_after(code) == "[]"
