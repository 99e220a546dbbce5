"""Run the tasks of a datatrove pipeline: a job's share of them, several at a time, each an artifact of its own.

A task that was killed is made again from its beginning and one that is complete is skipped, so a run is repeated until
all is done. Tasks are fixed by what is read, never by workers or jobs. Price: a task is the smallest loss of a kill.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import dill
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from loguru import logger as datatrove_log

from megatron_speech.artifacts.lock import alone
from megatron_speech.artifacts.manifest import Draft, Inputs, input_ids, made_from_else, make_artifact, require_place
from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.platform.private_names import run_for_rank

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

PARTS = ".tasks"
"""Ending of the folder of an output's parts."""


def tasks_folder(output: Path) -> Path:
    """Where the parts of `output` lie until all are done."""
    require_place(output)
    return output.with_name(output.name + PARTS)


def output_of(folder: Path) -> Path:
    """What the parts in `folder` are of."""
    return folder.with_name(folder.name.removesuffix(PARTS))


def run_tasks(steps: Sequence[PipelineStep], *, tasks: int, run: SpreadConfig, folder: Path) -> None:
    """Run this job's share of `tasks` tasks of the pipeline `steps`; datatrove's logs go below `folder`.

    The first error of a task ends the run; ValueError where a worker was killed.
    """
    first, end = (job * tasks // run.jobs for job in (run.job, run.job + 1))
    if first == end:
        return
    _Executor(
        list(steps),
        tasks=tasks,
        workers=min(run.workers, end - first),
        local_tasks=end - first,
        local_rank_offset=first,
        logging_dir=str(folder / f"log-{run.job:05d}"),
        skip_completed=False,  # by the task's own manifest, which also knows from what it was made
    ).run()


def make_task(
    output: Path,
    *,
    kind: str,
    config: Any,
    inputs: Inputs,
    write: Callable[[Draft], None],
    is_whole: Callable[[Path], bool] = lambda _: True,
) -> None:
    """Have `write` make a task's artifact, unless it is there; one that was made from something else is made again.

    So is one of which `is_whole` says that it lost what it listed.
    """
    with alone(output):
        ids = inputs if isinstance(inputs, Mapping) else input_ids(inputs)
        if output.exists():
            fault = _fault(output, kind=kind, config=config, inputs=ids, is_whole=is_whole)
            if not fault:
                return
            # A part of ours, and no result that anyone was promised.
            logger.info("%s is made again: it %s", output, fault)
            shutil.rmtree(output)
        with make_artifact(output, kind=kind, config=config, inputs=ids) as draft:
            write(draft)


def _fault(output: Path, *, kind: str, config: Any, inputs: Inputs, is_whole: Callable[[Path], bool]) -> str:
    """Why a part that is there cannot be taken; empty where it can."""
    try:
        if difference := made_from_else(output, kind=kind, config=config, inputs=inputs):
            return f"was made with {difference}"
        return "" if is_whole(output) else "lost files that it lists"
    except ValueError as error:
        return f"is damaged ({error})"


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], *, workers: int, number: Callable[[Item], int]
) -> Iterator[Result]:
    """`work(item)` of every item, as they are done, by `workers` new processes.

    `work`, with all that it holds, is sent once per process, by dill; items and results go through a pipe by pickle.
    The first error ends all; ValueError where a process was killed, which names items by their `number`.
    """
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    context = multiprocessing.get_context("forkserver")
    parent, alive = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        workers, context, initializer=_begin_worker, initargs=(dill.dumps(work), parent, threads)
    )
    tasks = {pool.submit(_work, item): number(item) for item in items}
    try:
        for done in as_completed(tasks):
            yield done.result()
        pool.shutdown()
    except BrokenProcessPool as error:
        left = [task for future, task in tasks.items() if not future.done() or future.exception()]
        raise ValueError(
            f"a worker was killed (out of memory?) with {len(left)} of {len(tasks)} tasks not done "
            f"({', '.join(map(str, left[:9]))}{', ...' if len(left) > 9 else ''}); what is done is kept, the same "
            "command goes on; use fewer workers if memory was short"
        ) from error
    finally:
        alive.close()  # ends the workers, whatever they are at
        pool.shutdown(cancel_futures=True)


class _Executor(LocalPipelineExecutor):
    """datatrove's local executor, but for how it starts tasks.

    Its own `run` starts a manager process and workers that wait forever where their parent was killed, as it does where
    one of them was; and its log shows a user's mistake as a traceback of every frame on its way.
    """

    def run(self) -> None:
        ranks = range(self.local_rank_offset, self.local_rank_offset + self.local_tasks)
        if self.workers == 1:
            with _silence():
                for rank in ranks:
                    run_for_rank(self)(rank)
            return
        for _ in in_processes(run_for_rank(self), ranks, workers=self.workers, number=int):
            pass


@contextmanager
def _silence() -> Iterator[None]:
    datatrove_log.disable("datatrove")
    try:
        yield
    finally:
        datatrove_log.enable("datatrove")


_pickled_work = b""
"""In a worker: what it does with each item, sent once."""


def _begin_worker(work: bytes, parent: Connection, threads: int) -> None:
    """In a new process: end with the parent, be silent, take a share of the cores before a library takes all."""
    global _pickled_work
    _pickled_work = work

    def end_with_parent() -> None:
        parent.poll(None)  # nothing is ever sent; it returns when the other end is closed, by a kill too
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent says so and ends this one
    os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(threads)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    datatrove_log.disable("datatrove")


def _work(item: Any) -> Any:
    return _loaded_work()(item)


@cache
def _loaded_work() -> Callable[[Any], Any]:
    work: Callable[[Any], Any] = dill.loads(_pickled_work)
    return work
