"""Names in any script become keys of tars: distinct, stable, and whole behind a WebDataset reader."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.audio.shards import key_of
from megatron_speech.audio.sources.listed import LONGEST_KEY, key_of_name

NAMES = st.text(min_size=1, max_size=120) | st.from_regex(r"[A-Za-z0-9_.-]{1,8}", fullmatch=True)


@pytest.mark.parametrize("name", ["a", "r0", "84-121123-0000", "common_voice_en_1", "A--b", "x" * LONGEST_KEY])
def test_a_plain_name_is_its_own_key(name: str) -> None:
    assert key_of_name(name) == name


def test_names_that_differ_have_keys_that_differ() -> None:
    names = [
        "张三_001",
        "李四_001",
        "_001",
        "café",
        "cafe",
        "cafe\u0301",
        "Иван",
        "Ivan",
        "محمد",
        "😀",
        "🙃",
        "a/b",
        "a-b",
    ]
    names += ["a.b", "a b", "-a", "a", "a-", "A", "x" * 95, "x" * 96, "../a", "/a", ".", "..", "con", "a\0b", "a\nb"]
    names += [key_of_name(name) for name in names if key_of_name(name) != name]
    assert len({key_of_name(name) for name in names}) == len(names)


def test_a_key_shows_what_it_can_of_the_name_and_never_changes() -> None:
    assert key_of_name("a/b.c") == "a-b-c--5adb43b62fcb79315245"
    assert key_of_name("张三_001") == "_001--" + key_of_name("张三_001")[-20:]
    assert len(key_of_name("说话人一")) == 20


@given(first=NAMES, second=NAMES)
def test_any_two_names_differ_as_keys_too(first: str, second: str) -> None:
    for name in (second, key_of_name(first)):
        assert (key_of_name(first) == key_of_name(name)) == (first == name)


@given(name=NAMES)
def test_any_key_is_a_member_name_that_comes_back(name: str) -> None:
    key = key_of_name(name)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo(f"{key}.flac"))
    file.seek(0)
    with tarfile.open(fileobj=file) as tar:
        assert key_of(tar.getnames()[0]) == (key, "flac")
    assert key.isascii() and key.replace("-", "").replace("_", "").isalnum()
