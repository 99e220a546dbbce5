"""Builds interleaved data from text corpora: offline tasks make shards, a final step joins them into one folder.

    corpora --> tasks --> shards (spans, speech, composition, noise sample) --> join --> report

Shards are a function of the corpora, the models and the settings. Tasks, workers, jobs, kills and restarts do not
change them, provided that an engine's codes do not depend on its batches (`text_to_token.synthesize`). Shards with too
noisy speech are joined into ``<output>/quarantine``, which readers of the output skip. Cost: until the join, the parts
with their journals take as much space as the output.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from megatron_speech.artifacts.facts.interleaved import (
    InterleavedCorpusFacts,
    InterleavedFacts,
    InterleavedShardFacts,
    InterleaveTaskFacts,
    NoiseRow,
)
from megatron_speech.artifacts.left_out import show
from megatron_speech.artifacts.make_in_tasks import TaskedWork, make_in_tasks
from megatron_speech.artifacts.manifest import (
    MANIFEST,
    UNRECORDED,
    Draft,
    input_ids,
    is_made,
    make_artifact,
    read_facts,
    read_manifest,
)
from megatron_speech.artifacts.tasks import tasks_folder
from megatron_speech.config.stages.build_interleaved import BuildInterleavedConfig
from megatron_speech.corpus.files import changed_after, file_ids, relative_name
from megatron_speech.corpus.interface import BadLine
from megatron_speech.corpus.text_tasks import (
    TextTask,
    require_apart,
    require_few_lines,
    require_readable_columns,
    unseen_keys,
)
from megatron_speech.data.shards.documents import documents_facts
from megatron_speech.data.shards.join import join_documents
from megatron_speech.data.shards.repeated_ids import repeated
from megatron_speech.inference.model import read_vocabulary
from megatron_speech.interleave.corpus_shards import interleave_tasks
from megatron_speech.interleave.identities import output_identity, task_identity
from megatron_speech.interleave.noise import shard_rate, summarize
from megatron_speech.interleave.noisy_shards import noisy_shards, quarantined, set_aside
from megatron_speech.interleave.report import in_words, require_libraries, write_report
from megatron_speech.interleave.steps import DROPPED, NOISE, TASK, Interleaver
from megatron_speech.interleave.tally import Tally
from megatron_speech.speech_tokenizer.folder import fingerprint_of
from megatron_speech.text_to_token.engines.table import require_engine
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

KIND = "interleaved"
REPEATED = "repeated_ids.jsonl"
"""Lists the documents with the id of an earlier one."""


def build_interleaved(config: BuildInterleavedConfig) -> None:
    """Build the folder `config.output` of interleaved documents, or do the part of the work that `config.run` names.

    Raises:
        FileNotFoundError: a corpus, a model or the vocabulary folder is missing.
        ValueError: a line is unusable, an id repeats, a task is unfinished, too many shards are noisy, or the output
            was made from something else. Synthesised speech is kept.
    """
    require_apart(config.corpora, config.output)
    tasks = interleave_tasks(config)
    models = _models(config)
    make_in_tasks(
        config.output,
        kind=KIND,
        identity=output_identity(config),
        inputs=lambda: {**file_ids(path for task in tasks for path in task.files), **models},
        begin=partial(_begin, config, tasks, models),
        run=config.run,
        moves_shards=True,
    )


def _begin(config: BuildInterleavedConfig, tasks: Sequence[TextTask], models: dict[str, str]) -> TaskedWork:
    require_libraries(config)
    require_readable_columns(tasks)
    for doubt in unseen_keys(tasks):
        logger.warning("%s", doubt)
    step = Interleaver(tasks, config=config, folder=tasks_folder(config.output), inputs=models)
    return TaskedWork(
        steps=[step],
        tasks=len(tasks),
        finish=partial(_finish, config, step, models),
        require_ended=partial(_require_ended, step, config),
        counts=step.counts,
    )


def _models(config: BuildInterleavedConfig) -> dict[str, str]:
    """Identities of the models and the vocabulary.

    Raises ValueError, before any model is loaded, if they do not fit together.
    """
    require_engine(config.synthesis.engine)
    vocabulary = Vocabulary.load(config.vocabulary)
    if read_vocabulary(config.model).speech_fingerprint != vocabulary.speech_fingerprint:
        raise ValueError(
            f"model={config.model} writes the codes of another speech tokenizer than vocabulary={config.vocabulary}; "
            "build both with one speech tokenizer"
        )
    ids = input_ids([config.model, config.vocabulary])
    if config.noise is None:
        return ids
    folder = config.noise.speech_tokenizer  # need not be an artifact
    fingerprint = fingerprint_of(folder)
    if vocabulary.speech_fingerprint not in ("", fingerprint):
        raise ValueError(
            f"noise.speech_tokenizer={folder} is another speech tokenizer than that of vocabulary={config.vocabulary}; "
            "name the one that made the codes"
        )
    return {**ids, str(folder): fingerprint}


def _require_ended(step: Interleaver, config: BuildInterleavedConfig) -> None:
    """Raise ValueError if tasks of this job stopped by an EngineError, which is in the log."""
    run = config.run
    tasks = step.tasks[run.job * len(step.tasks) // run.jobs : (run.job + 1) * len(step.tasks) // run.jobs]
    stopped = [task.number for task in tasks if not step.output(task.number).exists()]
    if stopped and not config.output.exists():  # another process may have finished the output
        raise ValueError(
            f"the engine stopped in {len(stopped)} of {len(tasks)} tasks ({', '.join(map(str, stopped[:9]))}); "
            f"finished spans are kept in {step.folder}: run the same command again"
        )


def _finish(config: BuildInterleavedConfig, step: Interleaver, models: dict[str, str]) -> None:
    """Join the shards of all tasks into the output, and noisy ones into its quarantine."""
    # Collect what all shards report, and check it.
    inputs = {name: value for task in step.tasks for name, value in _task_inputs(step, task, models).items()}
    shards = [read_facts(step.output(task.number), InterleaveTaskFacts).shards for task in step.tasks]
    folders = [step.folder / shard for own in shards for shard in own]
    facts = [read_facts(folder, InterleavedShardFacts) for folder in folders]
    rows = [[NoiseRow.from_json(orjson.loads(line)) for line in (folder / NOISE).open("rb")] for folder in folders]
    spoken = [sum(fact.tally.spans_by_class.values()) for fact in facts]
    noisy = noisy_shards(config, rows, spoken)
    _require_documents(config, step.tasks, facts)
    _require_few_lines(config, folders, facts)
    with make_artifact(config.output, kind=KIND, config=output_identity(config), inputs=inputs) as draft:
        # Join the shards.
        repeats = _write_repeated(config, step, shards, folders, draft)
        index = join_documents(draft.folder, [folder for folder, bad in zip(folders, noisy, strict=True) if not bad])
        set_aside(draft.folder, folders, facts, rows, noisy)
        vocabulary = Vocabulary.load(config.vocabulary)
        vocabulary.save(draft.folder / "vocabulary.json")
        for name in (DROPPED, NOISE):
            with (draft.folder / name).open("wb") as file:
                file.writelines((folder / name).read_bytes() for folder in folders)
        # Write facts and report.
        draft.licences |= {corpus.licence or UNRECORDED for corpus in config.corpora.values()}
        draft.languages |= {config.speakable.language}
        made = draft.facts = InterleavedFacts(
            **vars(documents_facts(index, vocabulary)),
            **_counted(config, facts),
            repeated_ids=repeats,
            quarantined=quarantined(facts, noisy),
            noise=summarize(list(zip(rows, spoken, strict=True))) if config.noise else None,
        )
        rates = [shard_rate(shard) for shard in rows]
        write_report(draft.folder, made, rates=[rate for rate in rates if rate is not None], config=config)
    # Log a summary.
    if not index.speech_tokens:
        logger.warning(
            "%s holds no speech: see what was left out in its report.md, and speakable.language=%s",
            *(config.output, config.speakable.language),
        )
    dropped = sum((Counter(fact.dropped) for fact in facts), Counter[str]())
    logger.info(
        "%s: %s documents, %s text and %s speech tokens, %d shards quarantined; lines left out: %s",
        *(config.output, f"{index.items:,}", f"{index.text_tokens:,}", f"{index.speech_tokens:,}", sum(noisy)),
        show(dropped),
    )
    logger.info("%s; more in %s", in_words(made, unit=config.spans.unit), config.output / "report.md")


def _task_inputs(step: Interleaver, task: TextTask, models: dict[str, str]) -> dict[str, str]:
    """Input identities of a finished task.

    Raises ValueError if the task is not made, or was made from other files, models or settings.
    """
    folder = step.output(task.number)
    files = ", ".join(relative_name(path, task.settings.path) for path in task.files[:3])
    if not folder.exists():
        raise ValueError(
            f"{folder} is not made: task {task.number} ({task.corpus}: {files}) has not run or failed; run it first"
        )
    inputs = read_manifest(folder).inputs or {}
    wanted = {**{str(path): inputs.get(str(path), "nothing") for path in task.files}, **models}
    is_made(folder, kind=TASK, config=task_identity(step.config, task), inputs=wanted)
    made = (folder / MANIFEST).stat().st_mtime_ns
    if path := changed_after(task.files, made, inputs):
        raise ValueError(f"{path} changed after {folder} was made from it; run task {task.number} again")
    return inputs


def _require_documents(
    config: BuildInterleavedConfig, tasks: Sequence[TextTask], facts: Sequence[InterleavedShardFacts]
) -> None:
    """Raise ValueError for a corpus without any document."""
    for name, corpus in config.corpora.items():
        if not any(fact.documents for fact in facts if fact.corpus == name):
            files = sum(len(task.files) for task in tasks if task.corpus == name and task.records[0] == 0)
            raise ValueError(
                f"corpora.{name}.path={corpus.path}: none of its {files} files holds a document that may be spoken; "
                "correct the path, text_key or id_key, or leave the corpus out"
            )


def _require_few_lines(
    config: BuildInterleavedConfig, folders: Sequence[Path], facts: Sequence[InterleavedShardFacts]
) -> None:
    """Raise ValueError for a corpus with too many lines left out."""
    for name in config.corpora:
        own = [pair for pair in zip(folders, facts, strict=True) if pair[1].corpus == name]
        lines = [BadLine(**orjson.loads(line)) for folder, _ in own for line in (folder / DROPPED).open("rb")]
        read = len(lines) + sum(fact.source_documents for _, fact in own)
        require_few_lines(lines, read, config.max_quarantined_share)


def _write_repeated(
    config: BuildInterleavedConfig,
    step: Interleaver,
    shards: Sequence[Sequence[str]],
    folders: Sequence[Path],
    draft: Draft,
) -> int:
    """List the documents with the id of an earlier one; returns their number.

    Raises ValueError for the first if `on_bad_line` is "error".
    """
    task_of = [task for task, own in zip(step.tasks, shards, strict=True) for _ in own]

    def lines() -> Iterator[bytes]:
        for first, second in repeated(folders):
            places = [f"{task_of[folder].files[file]}:{line}" for folder, file, line in (first, second)]
            if config.on_bad_line == "error":
                raise ValueError(
                    f"{places[1]}: its id already stands at {places[0]}; ids seed the spans and must differ (what was "
                    "spoken is kept; on_bad_line: count keeps both documents, and lists them)"
                )
            yield orjson.dumps({"line": places[1], "first": places[0]}) + b"\n"

    with (draft.folder / REPEATED).open("wb") as file:
        count = 0
        for line in lines():
            file.write(line)
            count += 1
    return count


def _counted(config: BuildInterleavedConfig, facts: Sequence[InterleavedShardFacts]) -> dict[str, Any]:
    """Counts of all shards, with the quarantined ones, in total and by corpus."""
    tally, corpora = Tally(config.spans), {}
    for fact in facts:
        tally.add(fact.tally)
    sums = ("source_documents", "documents", "text_tokens", "speech_tokens", "documents_not_speakable")
    for name, corpus in config.corpora.items():
        own = [fact for fact in facts if fact.corpus == name]
        dropped = {reason for fact in own for reason in fact.dropped}
        corpora[name] = InterleavedCorpusFacts(
            licence=corpus.licence,
            renderings=corpus.renderings,
            **{key: sum(getattr(fact, key) for fact in own) for key in sums},
            dropped={reason: sum(fact.dropped.get(reason, 0) for fact in own) for reason in sorted(dropped)},
        )
    return {
        **tally.facts(),
        "documents_not_speakable": sum(fact.documents_not_speakable for fact in facts),
        "synthesis": dict(sum((Counter(fact.synthesis) for fact in facts), Counter())),
        "noise_spans_too_long": sum(fact.noise_too_long for fact in facts),
        "corpora": corpora,
    }
