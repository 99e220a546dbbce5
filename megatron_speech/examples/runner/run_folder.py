"""Makes the run folder of an example, with its settings.txt and links."""

from __future__ import annotations

from pathlib import Path

from megatron_speech.examples.runner.work import ASSETS, Work


def enter(work: Work) -> None:
    """Make the folder, settings.txt and links. Raises ValueError if it was made with other settings or links."""
    work.folder.mkdir(parents=True, exist_ok=True)
    _settle(work)
    if work.assets:
        ASSETS.mkdir(parents=True, exist_ok=True)
        if not (work.folder / "assets").exists():
            (work.folder / "assets").symlink_to(ASSETS.resolve())
    for name, target in work.links.items():
        _link(work.folder / name, target)


def _settle(work: Work) -> None:
    path = work.folder / "settings.txt"
    if not work.settings:
        return
    if path.is_file() and path.read_text().rstrip("\n") != work.settings:
        before = path.read_text().rstrip("\n")
        raise ValueError(
            f"{work.folder} was made with {before}, not {work.settings}; repeat that, or choose another --run-dir"
        )
    path.write_text(f"{work.settings}\n")


def _link(path: Path, target: Path) -> None:
    if not path.is_symlink() and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    if path.resolve() != target.resolve():
        raise ValueError(
            f"{path.parent} was made with {path.resolve()}, not {target}; repeat that, or choose another --run-dir"
        )
