"""`megatron-speech run EXAMPLE`: chooses steps of an example, and runs or lists them."""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NoReturn

from megatron_speech.examples.runner.runner import RowsFailed, StepFailed, print_error, run_steps
from megatron_speech.examples.runner.work import ASSETS, Example, Step, Work
from megatron_speech.examples.table import EXAMPLES


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see --help")


def run(words: Sequence[str]) -> None:
    """Run or list steps; without a word, name the examples.

    Raises ValueError or OSError for a mistake. Leaves by SystemExit: status 2 for a failed step, 1 for failed rows.
    """
    if not words:
        print("\n".join(_examples()))
        return
    work, options = parse(words)
    chosen = _chosen(work.steps, part=options.part, only=options.only, first=options.first)
    if options.list:
        print("\n".join(_listed(work, chosen)))
        return
    try:
        run_steps(work, chosen)
    except (StepFailed, RowsFailed) as error:
        print_error(str(error))
        raise SystemExit(1 if isinstance(error, RowsFailed) else 2) from None
    if work.report:
        print(f"report: {work.folder / work.report}")
    if options.part and not options.only:
        print(_after(options.part, work))


def _examples() -> Iterator[str]:
    """Lines that name every example, with the first sentence of its description."""
    width = max(map(len, EXAMPLES))
    yield from (f"{name:<{width}}  {example.about.splitlines()[0]}" for name, example in EXAMPLES.items())
    yield "megatron-speech run EXAMPLE --help tells its options, --list its commands."


def _after(part: str, work: Work) -> str:
    """Last line of a part: the part to run next, if there is one."""
    parts = list(dict.fromkeys(step.part for step in work.steps))
    following = parts[parts.index(part) + 1 :]
    return f"{part} is done; next: --part {following[0]}" if following else f"{part} is done: the last part"


def parse(words: Sequence[str]) -> tuple[Work, argparse.Namespace]:
    """The work of the example that the first word names, and its options. Raises ValueError for a mistake."""
    name = words[0].replace("-", "_")
    if name not in EXAMPLES:
        near = difflib.get_close_matches(name, EXAMPLES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"name one of {', '.join(EXAMPLES)}"
        raise ValueError(f"{words[0]} is no example; {hint}")
    example = EXAMPLES[name]
    options, more = _parser(name, example).parse_known_args(words[1:])
    options.more, options.part = more, getattr(options, "part", None)
    if options.more and not example.passes_on:
        raise ValueError(f"{options.more[0]} is not an option; see --help")
    return example.work(options), options


def options_of(name: str) -> list[str]:
    """Options of an example, such as `--list`, as its help names them."""
    return list(dict.fromkeys(re.findall(r"(?<=[\s\[])--[\w.-]+", _parser(name, EXAMPLES[name]).format_usage())))


def _parser(name: str, example: Example) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"megatron-speech run {name}",
        description=example.about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    example.options(parser)
    parser.add_argument("--list", action="store_true", help="print the commands instead of running them")
    if example.parts:
        parser.add_argument("--part", metavar="PART", help=f"run this part alone: {', '.join(example.parts)}")
    parser.add_argument("--only", metavar="STEP", help="run this step alone")
    parser.add_argument("--from", metavar="STEP", dest="first", help="leave out the steps before this one")
    return parser


def _chosen(steps: list[Step], *, part: str | None, only: str | None, first: str | None) -> list[Step]:
    """The steps that the options name. Raises ValueError for an unknown part or step."""
    parts = list(dict.fromkeys(step.part for step in steps))
    if part is not None and part not in parts:
        raise ValueError(f"--part={part} is no part; name one of {', '.join(parts)}")
    steps = [step for step in steps if part in (None, step.part)]
    names = [step.name for step in steps]
    for key, name in (("--only", only), ("--from", first)):
        if name is not None and name not in names:
            raise ValueError(f"{key}={name} is no step; --list names them")
    if only is not None:
        return [step for step in steps if step.name == only]
    return steps[names.index(first) if first is not None else 0 :]


def _listed(work: Work, chosen: list[Step]) -> Iterator[str]:
    """Lines to paste: one that makes and enters the folder, then the command of every step."""
    yield _entering(work)
    for part, steps in groupby(chosen, key=lambda step: step.part):
        if part:
            yield f"# part {part}"
        yield from (f"{step}  # {step.name}" for step in steps)


def _entering(work: Work) -> str:
    """Command that makes the run folder with its links and goes there, as `run_folder.enter` does."""
    assets = ASSETS.resolve()
    links = {**({"assets": assets} if work.assets else {}), **work.links}
    inside = dict.fromkeys((work.folder / name).parent for name in links)
    made = dict.fromkeys([work.folder, *([assets] if work.assets else []), *inside])
    commands = [["mkdir", "-p", *made], ["cd", work.folder], *(["ln", "-sfn", to, name] for name, to in links.items())]
    return " && ".join(shlex.join(map(str, words)) for words in commands)
