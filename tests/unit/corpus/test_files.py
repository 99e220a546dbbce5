"""Where corpora lie: files, folders, patterns, URLs; what exists is taken by its name, what does not is said so."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.corpus import remote_file
from megatron_speech.corpus.files import corpus_files, relative_name
from megatron_speech.corpus.text_tasks import require_apart, text_tasks
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.storage import retry
from megatron_speech.storage.ranged import Ranged
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text
from tests.servers import ShardServer, serving
from tests.toys import write_jsonl


def _line(id_: str) -> bytes:
    return json.dumps({"id": id_, "text": f"text of {id_}"}).encode() + b"\n"


def _corpus(folder: Path) -> Path:
    """Files of several kinds, some of whose names look like patterns."""
    for name in ("a.jsonl", "b.jsonl", "deep/c.jsonl", "x[1].jsonl", "st*r.jsonl", "what?.jsonl"):
        write_jsonl(folder / name, {"id": name, "text": "x"})
    (folder / "z.jsonl.gz").write_bytes(gzip.compress(_line("z")))
    (folder / "README.md").write_text("no corpus")
    (folder / "folder.jsonl").mkdir()
    return folder


def _names(folder: Path, pattern: str) -> list[str]:
    path = TextCorpusConfig(path=folder / pattern).path
    return [relative_name(file, path) for file in corpus_files("c", path)]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.jsonl", ["a.jsonl", "b.jsonl", "st*r.jsonl", "what?.jsonl", "x[1].jsonl"]),
        ("[ab].jsonl", ["a.jsonl", "b.jsonl"]),
        ("?.jsonl*", ["a.jsonl", "b.jsonl", "z.jsonl.gz"]),
        ("**/c.jsonl", ["deep/c.jsonl"]),
        ("*/c.jsonl", ["deep/c.jsonl"]),
        ("d*", ["deep/c.jsonl"]),
        ("x[1].jsonl", ["x[1].jsonl"]),
        ("st*r.jsonl", ["st*r.jsonl"]),
        ("what?.jsonl", ["what?.jsonl"]),
        ("a.jsonl", ["a.jsonl"]),
    ],
)
def test_a_pattern_gives_its_files_and_a_name_itself(tmp_path: Path, pattern: str, names: list[str]) -> None:
    assert _names(_corpus(tmp_path / "data"), pattern) == names


@pytest.mark.parametrize("pattern", ["", "*.jsonl", "**/*", "*", "*/c.jsonl", "deep"])
def test_files_that_macos_writes_beside_a_users_are_passed_over_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pattern: str
) -> None:
    folder = _corpus(tmp_path / "data")
    expected = _names(folder, pattern)
    for name in ("._a.jsonl", ".DS_Store", "deep/._c.jsonl", "__MACOSX/c.jsonl", "__MACOSX/deep/d.jsonl"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(b"\0\x05\x16\x07")
    assert not caplog.messages
    assert _names(folder, pattern) == expected
    (line,) = caplog.messages
    assert "companion files of macOS: " in line and ("._" in line or "__MACOSX" in line)


@pytest.mark.parametrize("link", ["b.jsonl", "deep/c.jsonl", "deep/more", "notes.txt"])
@pytest.mark.parametrize("pattern", ["", "*", "**/*", "*/c.jsonl", "[ab].jsonl", "b.jsonl", "d*"])
def test_a_link_to_nothing_is_refused_by_name(tmp_path: Path, link: str, pattern: str) -> None:
    folder = _corpus(tmp_path / "data")
    (folder / link).unlink(missing_ok=True)
    (folder / link).symlink_to("gone/x.jsonl")
    covers = {
        "b.jsonl": ("", "*", "**/*", "[ab].jsonl", "b.jsonl"),
        "notes.txt": ("", "*", "**/*"),
        "deep/c.jsonl": ("", "*", "**/*", "*/c.jsonl", "d*"),
        "deep/more": ("", "*", "**/*", "d*"),
    }
    if pattern not in covers[link]:
        assert _names(folder, pattern) or link == "deep/c.jsonl"
        return
    with pytest.raises(ValueError, match=rf"data/{link} is a link to gone/x\.jsonl, which does not exist; mend"):
        _names(folder, pattern)


def test_a_folder_whose_name_looks_like_a_pattern_is_taken_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "part[1]"
    write_jsonl(folder / "a.jsonl", {"id": "a", "text": "x"})
    write_jsonl(tmp_path / "part1" / "other.jsonl", {"id": "b", "text": "x"})
    assert _names(tmp_path, "part[1]") == ["a.jsonl"]
    assert [file.name for file in corpus_files("c", folder / "*.jsonl")] == ["a.jsonl"]


@pytest.mark.parametrize(
    ("corpus", "output", "inside"),
    [
        ("data", "data/out", True),
        ("data", "out", False),
        ("data/*.jsonl", "data/out", False),
        ("data/*/*.jsonl", "data/out", True),
        ("data/**/*.jsonl", "data/deep/out", True),
        ("data/**/*.jsonl", "out", False),
        ("data/a.jsonl", "data/out", False),
    ],
)
def test_an_output_among_the_files_of_its_corpus_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: str, output: str, inside: bool
) -> None:
    _corpus(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    for base in (Path(), tmp_path):
        corpora = {"c": TextCorpusConfig(path=base / corpus)}
        if inside:
            with pytest.raises(ValueError, match=r"output=.*out lies in corpora.c.path="):
                require_apart(corpora, base / output)
        else:
            require_apart(corpora, base / output)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("gone.jsonl", r"gone.jsonl does not exist; correct the path$"),
        ("no/such/folder", r"no/such/folder does not exist; correct the path$"),
        ("*.parquet", r"\*.parquet matches no file; correct the pattern"),
        ("*.md", r"\*.md holds no file that ends in .jsonl"),
        ("folder.jsonl", r"folder.jsonl holds no file that ends in .jsonl"),
        ("made/gone.jsonl", r"made/gone.jsonl does not exist; .*made was made without it; correct the path"),
        (
            "begun/x.jsonl",
            r"begun/x.jsonl does not exist; begun.partial is there: run the command that makes it",
        ),
    ],
)
def test_what_does_not_exist_is_told_with_its_remedy(tmp_path: Path, path: str, said: str) -> None:
    folder = _corpus(tmp_path / "data")
    (folder / "begun.partial").mkdir()
    (folder / "made").mkdir()
    (folder / "made" / "manifest.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=rf"corpora.c.path=.*{said}"):
        corpus_files("c", folder / path)


@pytest.mark.parametrize("url", ["s3://bucket/c.jsonl", "https://host/c.jsonl", "S3://bucket/c.jsonl"])
def test_a_url_keeps_its_slashes(url: str) -> None:
    lower = url.replace("S3", "s3")
    assert TextCorpusConfig(path=url).path == lower
    assert TextCorpusConfig(path=Path(url)).path == lower  # which has lost one
    assert isinstance(TextCorpusConfig(path="data/a:b.jsonl").path, Path)


@pytest.mark.parametrize("url", ["ftp://host/c.jsonl", "hf://datasets/a/b.parquet", "pipe://cat"])
def test_another_kind_of_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=rf"path={url}: no path and none of the URLs http, https, s3"):
        TextCorpusConfig(path=url)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket with a corpus; settings reach the client by its own environment variables."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "any")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setattr(retry, "FIRST_PAUSE_S", 0.0)
        remote_file.scheme_client.cache_clear()
        client = boto3.client("s3")
        client.create_bucket(Bucket="texts")
        for key, body in (
            ("en/b.jsonl", _line("b") + _line("c")),
            ("en/a.jsonl.gz", gzip.compress(_line("a"))),
            ("en/deep/d.jsonl", _line("d")),
            ("en/README.md", b"no corpus"),
        ):
            client.put_object(Bucket="texts", Key=key, Body=body)
        yield "s3://texts/en"
        server.stop()
    remote_file.scheme_client.cache_clear()


@pytest.mark.parametrize(
    ("path", "ids"),
    [("", "abcd"), ("/b.jsonl", "bc"), ("/*.jsonl*", "abc"), ("/**/*.jsonl", "bcd"), ("/", "abcd")],
)
def test_a_bucket_is_read_like_a_folder(bucket: str, tmp_path: Path, path: str, ids: str) -> None:
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "vocabulary", codebook_size=4))
    config = TokenizeTextConfig(
        corpora={"c": TextCorpusConfig(path=bucket + path)}, vocabulary=tmp_path / "vocabulary", output=tmp_path / "out"
    )
    tokenize_text(config)
    assert [document.key for document in read_documents(tmp_path / "out")] == list(ids)
    inputs = read_manifest(tmp_path / "out").inputs
    assert {name for name in inputs if name.startswith("s3://texts/en/")} == set(inputs) - {str(config.vocabulary)}
    tokenize_text(config)  # is made already


def test_a_changed_object_is_noticed(bucket: str, tmp_path: Path) -> None:
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "vocabulary", codebook_size=4))
    corpora = {"c": TextCorpusConfig(path=f"{bucket}/new.jsonl")}
    config = TokenizeTextConfig(corpora=corpora, vocabulary=tmp_path / "vocabulary", output=tmp_path / "out")
    client = boto3.client("s3")
    client.put_object(Bucket="texts", Key="en/new.jsonl", Body=_line("a"))
    tokenize_text(config)
    client.put_object(Bucket="texts", Key="en/new.jsonl", Body=_line("b"))
    with pytest.raises(ValueError, match=r"was made from other inputs \(s3://texts/en/new.jsonl"):
        tokenize_text(config)
    client.delete_object(Bucket="texts", Key="en/new.jsonl")
    with pytest.raises(FileNotFoundError, match=r"corpora.c.path=s3://texts/en/new.jsonl does not exist; correct"):
        tokenize_text(config)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/gone.jsonl", "gone.jsonl does not exist; correct the URL"),
        ("/*.parquet", "matches no file; correct the pattern"),
        ("/README.md", "README.md must end in one of .jsonl"),
    ],
)
def test_what_a_bucket_lacks_is_told(bucket: str, path: str, said: str) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=rf"corpora.c.path=s3://texts/en/.*{said}"):
        text_tasks({"c": TextCorpusConfig(path=bucket + path)})


def test_a_bucket_without_credentials_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    remote_file.scheme_client.cache_clear()
    rule = "s3://texts/c.jsonl: not read in 1 attempts, .*NoCredentialsError.*; check the address, the credentials"
    with pytest.raises(ConnectionError, match=rule):
        text_tasks({"c": TextCorpusConfig(path="s3://texts/c.jsonl")})
    remote_file.scheme_client.cache_clear()


@pytest.mark.parametrize("url", ["s3://texts/c.jsonl", "https://host/c.jsonl"])
def test_packages_that_urls_need_are_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    def missing(scheme: str, **_: object) -> None:
        raise ImportError(f"no client for {scheme}")

    monkeypatch.setattr("fsspec.filesystem", missing)
    remote_file.scheme_client.cache_clear()
    with pytest.raises(ValueError, match=r"://.* needs packages that are not installed: pip install .*object-store"):
        text_tasks({"c": TextCorpusConfig(path=url)})
    remote_file.scheme_client.cache_clear()


def test_a_file_of_unknown_size_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ranged, "find", lambda self, url: {url: {"size": None}})
    with pytest.raises(ValueError, match=r"http://host/c.jsonl: the server does not say how many bytes it has"):
        text_tasks({"c": TextCorpusConfig(path="http://host/c.jsonl")})


def test_a_web_server_gives_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.0)
    lines = b"".join(_line(str(number)) for number in range(3000))
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "c.jsonl.gz").write_bytes(gzip.compress(lines))
    with serving(tmp_path / "www", ranges=True) as server:
        assert isinstance(server, ShardServer)
        server.moody, server.moods = ".gz", ["503", "cut"]
        (task,) = text_tasks({"c": TextCorpusConfig(path=f"{server.url}/c.jsonl.gz")})
        assert len(list(task.read())) == 3000
        with pytest.raises(FileNotFoundError, match="does not exist; correct the URL"):
            text_tasks({"c": TextCorpusConfig(path=f"{server.url}/gone.jsonl")})
