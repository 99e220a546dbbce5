"""What the rows of counted.yaml find in their folder: small sets of three items, and models that hear and answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch
from transformers import LlamaForCausalLM

from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.speech_tokenizer.model import save_model
from megatron_speech.speech_tokenizer.table import read_facts
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import END_OF_AUDIO, Vocabulary
from tests.toys import write_jsonl, write_model
from tests.unit.speech_tokenizer.toys import narrowed_config, noise, toy_model, write_toy_whisper

LONG = "Answer. " * 260
"""2,080 bytes; the models have 2,048 positions."""
SETS = {
    "pairs": ("choices", "wav_pairs"),
    "stories": ("choices", "cross_modal_cloze"),
    "written": ("choices", "own_items"),
    "questions": ("questions", "audio_jsonl"),
    "recordings": ("recognition", "librispeech"),
    "texts": ("synthesis", "librispeech"),
}
"""Task and layout of every set; `texts` are those of `recordings`."""
SHORT = {"questions": {"max_text_tokens": 8, "max_speech_tokens": 8}, "recognition": {"max_text_tokens": 8}}


def make_sets(root: Path) -> Path:
    """The sets, a speech tokenizer and models in `root`."""
    root.mkdir()
    write_toy_whisper(root / "whisper")
    with make_artifact(root / "speech_tokenizer", kind="speech_tokenizer", config={}) as draft:
        save_model(toy_model(narrowed_config(max_source_positions=1500)), draft.folder, text_from=root / "whisper")
    facts = read_facts(root / "speech_tokenizer")
    settings = {"codebook_size": facts.codebook_size, "speech_fingerprint": facts.fingerprint}
    build_vocabulary(BuildVocabularyConfig(output=root / "vocabulary", text="bytes", **settings))
    _models(root)
    _recordings(root)
    _odd_recordings(root / "odd")
    return root


def _recordings(root: Path) -> None:
    for number, name in enumerate("abc", 1):
        for word in ("correct", "incorrect"):
            _say(root / "pairs" / f"{number}_{word}.wav", number)
        for part in ("mutual", "correct", "incorrect"):
            _say(root / "stories" / f"{name}_{part}.wav", number)
            (root / "stories" / f"{name}_{part}.txt").write_text(f"The {part} part of {name}.")
        _say(root / "questions" / f"{name}.wav", number)
        _say(root / "recordings" / "1" / "2" / f"1-2-000{number}.flac", number)
    questions = ({"index": name, "audio_path": f"{name}.wav", "question": f"What is {name}?"} for name in "abc")
    write_jsonl(root / "questions" / "questions.jsonl", *(question | {"answer": "a letter"} for question in questions))
    ends = ({"ending": f"The end of {name}.", "random_ending": f"Another end of {name}."} for name in "abc")
    items = ({"id": name, "text": f"This is {name}.", "metadata": end} for name, end in zip("abc", ends, strict=True))
    write_jsonl(root / "written" / "items.jsonl", *items)
    lines = "".join(f"1-2-000{number} THE CAT SAT\n" for number in (1, 2, 3))
    (root / "recordings" / "1" / "2" / "1-2.trans.txt").write_text(lines)


def _say(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise(8000, seed), 16_000)


def _odd_recordings(folder: Path) -> None:
    folder.mkdir()
    wave = noise(8000, 0)
    soundfile.write(folder / "no_samples.wav", wave[:0], 16_000)
    soundfile.write(folder / "slow.wav", wave, 10)
    soundfile.write(folder / "loud.wav", wave * 30_000, 16_000, subtype="FLOAT")
    soundfile.write(folder / "not_finite.wav", np.where(wave > 0, np.nan, wave), 16_000, subtype="FLOAT")


def _models(root: Path) -> None:
    """`model` answers at random, `silent` ends at once, `russian` writes Cyrillic letters, `broken` has no numbers."""
    vocabulary = Vocabulary.load(root / "vocabulary")
    ends = {vocabulary.end_of_document: 0, vocabulary.special_id(END_OF_AUDIO): 0}
    first, second = "а".encode()  # of two bytes
    for name, said in (("model", None), ("silent", ends), ("russian", {first: 0, second: 1})):
        write_model(root / name, root / "vocabulary")
        if said:
            network = LlamaForCausalLM.from_pretrained(root / name)
            _say_only(network, said, after=first)
            network.save_pretrained(root / name)
    write_model(root / "broken", root / "vocabulary")
    network = LlamaForCausalLM.from_pretrained(root / "broken")
    torch.nn.init.constant_(network.lm_head.weight, torch.nan)
    network.save_pretrained(root / "broken")


def _say_only(network: LlamaForCausalLM, said: dict[int, int], *, after: int) -> None:
    """Let a network say the ids `said` with 0 after every id but `after`, and those with 1 after that one."""
    with torch.no_grad():
        for layer in network.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        for weight in (network.model.embed_tokens.weight, network.lm_head.weight):
            weight.zero_()
        network.model.embed_tokens.weight[:, 0] = 1
        network.model.embed_tokens.weight[after] = network.model.embed_tokens.weight[after].roll(1)
        for token, state in said.items():
            network.lm_head.weight[token, state] = 10
