"""Inputs of every command that take long: small real ones, of which something is read or computed slowly.

A command runs in a fork, in a copy of the world of `tests.bad_inputs.world`, where a fork may change what it likes.
What is slow waits for the lines that the command owes by then, so nothing depends on how fast the machine is; it waits
in vain no longer than `patience`.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from megatron_speech import progress
from tests.bad_inputs.rows import TABLES
from tests.slow_folders import (
    a_decoder,
    a_judge,
    a_voice,
    articles,
    codes_of_any_tokenizer,
    codes_of_audio,
    days,
    geo_questions,
    models,
    nothing_fetched,
    people,
    several_recordings,
    spoken_pairs,
    spoken_questions,
)

COUNTED = re.compile(r": (\d[\d,.]* .*, )?(about \d+ \w+ left|\d+ \w+ so far)")
"""How a line says how much is done, or how long it has taken."""


@dataclass(frozen=True)
class Slow:
    """How a command becomes slow."""

    part: str
    """``module:name`` of the function or generator that becomes slow."""
    says: str
    """What its first line begins with."""
    words: str = ""
    """Words behind those that its table of bad inputs calls the least."""
    prepare: Callable[[], Any] = lambda: None
    """Changes the folder or the code of the fork."""
    items: bool = True
    """Whether there are several slow items, so that a time left can be told."""
    steps: str = ""
    """What a line of a training step holds, as a regular expression."""

    def arrange(self, command: str, said: Path, patience: float) -> list[str]:
        """Make the command slow in this process, and return its words; lines come soon after one another."""
        progress.FIRST_S = progress.LONGEST_S = progress.LATE_S = 0.05
        self.prepare()
        module, _, name = self.part.partition(":")
        *holders, name = name.split(".")
        holder = importlib.import_module(f"megatron_speech.{module}")
        for each in holders:
            holder = getattr(holder, each)
        waiting = _Waiting(said, self.says, self.items, patience)
        setattr(holder, name, waiting.slowed(getattr(holder, name)))
        table = TABLES / f"{command}.yaml"
        least = yaml.safe_load(table.read_text())["least"] if table.is_file() else ""
        return [*shlex.split(least), *shlex.split(self.words)]


@dataclass
class _Waiting:
    said: Path
    says: str
    items: bool
    patience: float
    calls: int = 0

    def slowed(self, part: Callable[..., Any]) -> Callable[..., Any]:
        """The same function or generator, which waits before each of its first items."""
        if inspect.isgeneratorfunction(part):

            def items(*args: Any, **options: Any) -> Iterator[Any]:
                self.wait()
                for item in part(*args, **options):
                    yield item
                    self.wait()

            return items

        def call(*args: Any, **options: Any) -> Any:
            self.wait()
            return part(*args, **options)

        return call

    def wait(self) -> None:
        """Wait for what is owed: at first the first line and a count, then a time left if there are several items."""
        self.calls += 1
        end = time.monotonic() + self.patience
        while not self._paid() and time.monotonic() < end:
            time.sleep(0.01)

    def _paid(self) -> bool:
        counts = counts_in(self.said.read_text(errors="replace"), self.says)
        return any("left" in line for line in counts) if self.calls > 1 and self.items else bool(counts)


def counts_in(said: str, says: str) -> list[str]:
    """Lines of progress that say how much is done, or how long it has taken; behind the first line, which `says` it."""
    lines = [line for line in said.splitlines() if line.startswith(says.partition(":")[0])]
    first = next((number for number, line in enumerate(lines) if line.startswith(says)), len(lines))
    return [line for line in lines[first + 1 :] if COUNTED.search(line)]


TRAINING = "training.loop:advance"
STEP = r"step 2 of 4: loss .*, [1-9][\d,]* tokens so far, \d+ tokens/s, about \d+ \w+ left"
SLOW = {
    "fetch_assets": Slow("miniature.fetch:_fetch", "fetch_assets ci: ", "--set ci", nothing_fetched),
    "sample_data": Slow(
        "miniature.sample_data:voice.speak", "sample_data: speak: 4 utterances", "--output out --assets empty", a_voice
    ),
    "unpack_assets": Slow("miniature.unpack:make_artifact", "unpack_assets full: 4 models", prepare=models),
    "prepare_corpus": Slow("miniature.corpus:read_articles", "prepare_corpus", "--assets empty", articles, items=False),
    "prepare_prose": Slow("miniature.prose:read_days", "prepare_prose articles", "--assets empty", days, items=False),
    "speak_corpus": Slow("miniature.speak:read_recordings", "speak_corpus human", "--part human", people, items=False),
    "import_speech": Slow(
        "audio.importing:utterances", "import_speech out: 4", "--table four.jsonl", several_recordings
    ),
    "train_speech_tokenizer": Slow(
        "speech_tokenizer.training.step:Trainer.advance",
        "train_speech_tokenizer: 4 steps",
        "--steps 4 --log_every_steps 1 --bottleneck.subtract_position_means false",
        steps=r"step 2 of 4: cross-entropy .*, [\d,]+ utterances so far, about \d+ \w+ left",
    ),
    "tokenize_speech": Slow("speech_tokenizer.corpus.input:silence", "tokenize_speech audio: 3 seconds", items=False),
    "encode": Slow("speech_tokenizer.corpus.windows:encode_recording", "encode a.wav", items=False),
    "tokenizer_report": Slow("evaluation.speech.tokenizer:read_audio_shards", "tokenizer_report a: read", items=False),
    "build_task_documents": Slow(
        "text_to_token.task_documents:task_document", "build_task_documents recognition", items=False
    ),
    "train_text_to_token": Slow(
        TRAINING, "train run: 4 steps", "--pairs packed_pairs --train.tokens 256", spoken_pairs, steps=STEP
    ),
    "round_trip": Slow("text_to_token.synthesize:Synthesizer.stream", "round_trip: speak: 4 requests"),
    "build_interleaved": Slow("interleave.corpus_shards:_judged", "build_interleaved a", items=False),
    "train_text_tokenizer": Slow("tokenize_text.train_tokenizer:xxh3_number", "train_text_tokenizer: draw from a"),
    "tokenize_text": Slow("corpus.text_tasks:read_records", "tokenize_text a", items=False),
    "pack_shards": Slow("data.packing.pack:_without_overlong", "pack_shards packed: shuffle", items=False),
    "export_indexed_dataset": Slow("data.shards.export_indexed:_sequences", "export_indexed_dataset", items=False),
    "index_shards": Slow("data.shards.rebuild:examine_tar", "index_shards packed: 1 shard", items=False),
    "plan_parameters": Slow("model.dry_run:built_parameters", "plan_parameters: build", "--check true", items=False),
    "plan_run": Slow(
        "planning.plan_run:search",
        "plan_run: search layouts of 8 GPUs",
        "--folder run --data.sources.a.folder packed --data.sources.a.task text --train.tokens 64 --num_text_ids 60 "
        "--num_speech_ids 60 --gpus 8",
        items=False,
    ),
    "pretrain": Slow(TRAINING, "train run: 4 steps", steps=STEP),
    "gradient_error": Slow("training.gradient_error:forward", "gradient_error float32: 16 passes"),
    "convert_from_hf": Slow("checkpoint.hf_import:join", "convert_from_hf text_model: 27 tensors"),
    "convert_to_hf": Slow("checkpoint.safetensors_writer:_copy", "convert_to_hf base: 39 tensors"),
    "evaluate": Slow("inference.model:LanguageModel._score", "evaluate held_out: a: 12 requests", items=False),
    "probe_layers": Slow(
        "evaluation.probe_layers:context_ids",
        "probe_layers: 8 questions",
        "--geo_qa.texts questions.jsonl --geo_qa.codes codes_of_questions",
        geo_questions,
    ),
    "judge": Slow("evaluation.judging.endpoint:Endpoint._sent", "judge a: 4 requests", "--at_once 1", a_judge),
    "check_contamination": Slow(
        "evaluation.contamination.check:words_with_places",
        "check_contamination a: 12 documents",
        "--data_sets.qa.layout audio_jsonl --data_sets.qa.folder questions.jsonl --sources.a tokens "
        "--vocabulary vocabulary --output out",
        spoken_questions,
    ),
    "generate": Slow(
        "evaluation.samples:generate_tokens", "generate: continuation: ", "--max_text_tokens 4", items=False
    ),
    "train_speech_decoder": Slow(
        "speech_decoder.training.run:_loss",
        "train_speech_decoder: 4 steps",
        "--codes codes_of_audio --heldout_codes codes_of_audio --voices '[low, high]' --steps 4",
        codes_of_audio,
        steps=r"of 4 steps .* left; loss [\d.]+, [1-9]\d* utterances so far",
    ),
    "train_causal_decoder": Slow(
        "speech_decoder.training.step:Trainer.advance",
        "train_causal_decoder: 4 steps",
        "--sources.a.codes codes_of_audio --steps 4 --log_every_steps 1",
        codes_of_any_tokenizer,
        steps=r"step 2 of 4: loss .*, [\d,]+ utterances so far, about \d+ \w+ left",
    ),
    "decode": Slow("speech_decoder.one_recording:decode_to_file", "decode codes.json", prepare=a_decoder, items=False),
    "decode_speech": Slow(
        "evaluation.speech.resynthesis:decoder.decode",
        "decode_speech: 4 utterances",
        "--codes codes_of_audio --decoder silent_decoder --vocoder silent_vocoder --voices '[low, high]' --num_wavs 1",
        a_decoder,
    ),
    "ls": Slow("commands.listing:_examine", "ls .", items=False),
    "verify_shards": Slow("data.shards.verify:_verify_shard", "verify_shards packed", items=False),
    **{
        name: Slow(f"{room}:{name}", name, items=False)
        for room, name in (
            ("text_tokenizer.vocabulary_folder", "build_vocabulary"),
            ("reports.miniature.build", "report"),
            ("reports.precision", "precision_report"),
            ("reports.experiments", "tokenizer_experiments"),
            ("reports.text_to_token_curve", "text_to_token_curve"),
            ("reports.claim.build", "claim_report"),
            ("evaluation.comparison.curves", "evaluation_curves"),
        )
    },
}
"""Commands that may take longer than five seconds."""
QUICK = {
    "stream_speech": "prints a line per block, as the speech arrives",
    "stream_decode": "writes samples as the codes before them arrive",
    "prepare_facts": "joins words of short tables, in a second",
    "read_aloud": "prints a line per line, as they arrive",
    "run": "starts other commands, and says of each which number it is and what time is left",
    "launch": "starts another command, whose ranks show their progress",
    "plan_mixture": "does arithmetic on the sizes of sources",
    "compare_evaluations": "does arithmetic on two files of scores",
    "inspect_shards": "reads the list of a folder and its first documents",
    "doctor": "asks the machine, and prints as it learns",
    "schema": "writes out the settings of one command",
    "completion": "writes out the settings of all commands",
}
"""Commands that never take longer than five seconds without a line, and why."""
