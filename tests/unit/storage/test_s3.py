"""Rows out of an S3 bucket, through the client that a cluster uses; the server is moto's, on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.config.run.reader import ReaderConfig
from megatron_speech.data.plan.mixture import compile_plan
from megatron_speech.data.plan.plan import Plan
from megatron_speech.data.reading.reader import Reader
from megatron_speech.storage import retry
from megatron_speech.storage.place import Places
from tests.toys import VOCABULARY, packed_folder

SEQ = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lengths = [3 + index * 7 % 23 for index in range(40)]
    return packed_folder(tmp_path_factory.mktemp("packed") / "rows", lengths, seq_length=SEQ, shard_tokens=200)


@pytest.fixture(scope="module")
def bucket(folder: Path) -> Iterator[str]:
    """URL of the folder's copy in a bucket; settings reach the client by its own environment variables."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "any")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        client = boto3.client("s3")
        client.create_bucket(Bucket="speech")
        for path in folder.iterdir():
            client.put_object(Bucket="speech", Key=f"packed/rows/{path.name}", Body=path.read_bytes())
        yield "s3://speech/packed/rows"
        server.stop()


def _plan(where: str | Path, reader: ReaderConfig) -> Plan:
    data = DataConfig(seq_length=SEQ, sources={"only": SourceConfig(folder=where, task="interleaved")}, reader=reader)
    return compile_plan(data, vocabulary=VOCABULARY, num_samples=20)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_a_bucket_gives_the_rows_of_the_folder(cache_bytes: int, bucket: str, folder: Path, tmp_path: Path) -> None:
    config = ReaderConfig(cache=tmp_path, cache_bytes=cache_bytes)
    plan = _plan(bucket, config)
    assert plan.fingerprint == _plan(folder, ReaderConfig()).fingerprint
    found = Reader(plan, Places(config)).rows(range(20))
    wanted = Reader(_plan(folder, ReaderConfig())).rows(range(20))
    assert [row.tokens.tolist() for row in found] == [row.tokens.tolist() for row in wanted]
    assert [row.cu_seqlens.tolist() for row in found] == [row.cu_seqlens.tolist() for row in wanted]


def test_what_the_bucket_lacks_is_named(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.0)
    config = ReaderConfig(cache=tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"^data.sources.only.folder={bucket}/elsewhere holds no shards.json"):
        _plan(f"{bucket}/elsewhere", config)
    plan = _plan(bucket, config)
    client = boto3.client("s3")
    name = next(
        entry["Key"] for entry in client.list_objects_v2(Bucket="speech")["Contents"] if entry["Key"].endswith(".tar")
    )
    body = client.get_object(Bucket="speech", Key=name)["Body"].read()
    client.delete_object(Bucket="speech", Key=name)
    try:
        with pytest.raises(FileNotFoundError, match=rf"s3://speech/{name} is missing though {bucket}/shards.json"):
            Reader(plan, Places(config)).rows(range(20))
        client.put_object(Bucket="speech", Key=name, Body=body[:-512])
        with pytest.raises(ValueError, match=rf"s3://speech/{name}: \d+ bytes where its index states"):
            Reader(plan, Places(config)).rows(range(20))
    finally:
        client.put_object(Bucket="speech", Key=name, Body=body)
