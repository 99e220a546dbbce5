"""The example at the door of the room runs, and its second turn goes on with the first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.inference import engine
from megatron_speech.inference.decoder import Decoder
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from tests.toys import write_model

PAGE = Path(engine.__file__).with_name("README.md")


def test_the_example_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "vocabulary", text="bytes", codebook_size=16))
    write_model(tmp_path / "hf", tmp_path / "vocabulary", initializer_range=0.3)
    monkeypatch.chdir(tmp_path)
    starts: list[int] = []
    append = Decoder.append
    monkeypatch.setattr(
        Decoder,
        "append",
        lambda decoder, pieces, **options: starts.append(pieces[0].start) or append(decoder, pieces, **options),
    )
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(example, PAGE, "exec"), {})
    assert starts == sorted(set(starts)) and starts[0] == 0, "nothing is read twice"
    shown = capsys.readouterr().out
    assert shown.startswith("The sun rises") and "\nand the moon" in shown
    assert re.findall(r" (stop|length|cancelled)$", shown, re.MULTILINE)[-1:] and len(starts) > 20
