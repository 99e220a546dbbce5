"""Voices that read text aloud: hibari, a neural voice, and four voices of flite, which uses older methods.

Equal arguments of `speak` give equal waveforms: the noise of hibari is seeded, flite has none. The output of hibari
has 24 kHz and is resampled; it is made about 100 times faster than real time. No other package is imported. hibari is
imported from its path, without a change to Python's search path. flite starts a program per utterance.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from megatron_speech.audio.checks import checked_waveform
from megatron_speech.audio.io import SAMPLE_RATE, read_audio, resample
from megatron_speech.config.stages.miniature import VOICES
from megatron_speech.miniature.fetch import DEBIAN, PACKAGES


class Voice(Protocol):
    """Interface of a voice."""

    def speak(self, text: str, *, speed: float, seed: int) -> np.ndarray:
        """Waveform of `text`, mono float32 [N] at 16 kHz; `speed` 1 is normal. Raises ValueError if synthesis fails."""
        ...


def voice_packages(name: str) -> tuple[str, ...]:
    """Packages of the catalogue that contain the voice `name`."""
    return ("hibari-tts",) if name == "hibari" else ("flite", "libflite1")


def has_voice(name: str, assets: Path) -> bool:
    """Whether the packages of voice `name` were fetched. Raises ValueError for an unknown name."""
    if name not in VOICES:
        raise ValueError(f"voice {name!r} is not known; choose from {', '.join(VOICES)}")
    return _hibari_init(assets).is_file() if name == "hibari" else _flite_program(assets).is_file()


def require_voice(name: str, assets: Path) -> None:
    """Raises FileNotFoundError that names the missing package, unless the voice `name` was fetched."""
    if not has_voice(name, assets):
        package = "hibari-tts" if name == "hibari" else "Debian's flite and libflite1"
        raise FileNotFoundError(
            f"voice {name} needs {package} in {assets}: run megatron-speech fetch_assets --set full"
        )


def open_voice(name: str, assets: Path) -> Voice:
    """The voice `name`. Raises FileNotFoundError if its package was not fetched."""
    require_voice(name, assets)
    return HibariVoice(assets) if name == "hibari" else FliteVoice(name, assets)


class HibariVoice:
    """Voice "heart" of the package hibari-tts, on one thread."""

    def __init__(self, assets: Path) -> None:
        self._engine = _load_package("hibari", _hibari_init(assets)).Hibari(threads=1)

    def speak(self, text: str, *, speed: float, seed: int) -> np.ndarray:
        """Waveform of `text`, mono float32 [N] at 16 kHz; see `Voice`."""
        waveform = self._engine(text, speed=speed, seed=seed)
        return resample(
            checked_waveform(waveform, name=f"hibari reading {text!r}"), self._engine.sample_rate, SAMPLE_RATE
        )


class FliteVoice:
    """A voice of Debian's libflite1, run by the program flite."""

    def __init__(self, name: str, assets: Path) -> None:
        self._name = name
        self._program = _flite_program(assets).resolve()
        libraries = sorted({str(path.parent) for path in (self._program.parents[1] / "lib").rglob("libflite.so.1")})
        self._environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}

    def speak(self, text: str, *, speed: float, seed: int) -> np.ndarray:
        """Waveform of `text`, mono float32 [N] at 16 kHz; see `Voice`. `seed` has no effect."""
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "speech.wav"
            command = [str(self._program), "-voice", self._name, "--setf", f"duration_stretch={1 / speed:.4f}"]
            done = subprocess.run(
                [*command, "-t", text, "-o", str(output)],
                env=self._environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode or not output.is_file():
                raise ValueError(f"flite ({self._name}) could not read {text!r} aloud: {done.stderr.strip()[-200:]}")
            return read_audio(output)


def _hibari_init(assets: Path) -> Path:
    return assets / PACKAGES / "hibari" / "__init__.py"


def _flite_program(assets: Path) -> Path:
    return assets / DEBIAN / "usr" / "bin" / "flite"


def _load_package(name: str, init: Path) -> ModuleType:
    """Import the package at the ``__init__.py`` file `init`, once per process."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[str(init.parent)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
