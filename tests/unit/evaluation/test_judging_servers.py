"""A server of a judge that struggles is asked again; one that is down is one line; a killed command goes on."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import signal
import time
from dataclasses import replace

import pytest

from megatron_speech.commands.main import run
from megatron_speech.commands.table import COMMANDS
from megatron_speech.evaluation.judging.judge import judge
from tests.servers import judging
from tests.unit.evaluation.judging import Messages, answers, config_of, judged, knows, words_of


def test_a_struggling_server_is_asked_again_and_the_log_says_so(tmp_path, caplog):
    answers(tmp_path / "answers")
    with judging(knows) as server, caplog.at_level(logging.WARNING):
        server.moods = [503, "cut", 429, 500, '{"error": "overloaded"}']
        results, _, _ = judged(config_of(tmp_path, server, attempts=6))
    assert results["judges"]["toy"]["replies"] == 4 and len(server.asked) == 4 + 5
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 5 and all(
        re.search(r"attempt \d of 6 failed: .*; the next in \d+\.\d s", line) for line in said
    )
    assert "HttpError: 503 Service Unavailable: not now" in said[0] and "without choices[0]" in said[4]


@pytest.mark.parametrize(
    ("moods", "says", "requests"),
    [
        ([503] * 9, r"no reply in 3 attempts, the last said HttpError: 503 Service Unavailable: not now", 3),
        (["cut"] * 9, r"no reply in 3 attempts, the last said \w+: ", 3),
        ([401] * 9, r"no reply in 1 attempts, the last said HttpError: 401 Unauthorized: not now, \*\*\*; start it", 1),
        ([404] * 9, r"no reply in 1 attempts, .*404 Not Found", 1),
        ([302] * 9, r"no reply in 3 attempts, .*302 Found", 3),
        (["<html>A page</html>"] * 9, r"no reply in 1 attempts, .*no JSON, but '<html>A page</html>'", 1),
    ],
)
def test_a_server_that_is_down_or_refuses_is_one_line(tmp_path, capsys, monkeypatch, moods, says, requests):
    answers(tmp_path / "answers")
    monkeypatch.setenv("TOY_KEY", "sk-secret")
    with judging(knows) as server:
        server.moods = moods
        words = [*words_of(config_of(tmp_path, server)), "--judges.toy.key_variable", "TOY_KEY"]
        with pytest.raises(SystemExit) as left:
            run(COMMANDS["judge"], words)
    said = capsys.readouterr()
    error = said.err.splitlines()[-1]
    assert left.value.code == 2 and len(server.asked) == requests and not (tmp_path / "judged").exists()
    assert error.startswith(f"error: judges.toy at {server.url}/chat/completions: ") and re.search(says, error)
    assert "sk-secret" not in said.err + said.out and {*server.keys} == {"Bearer sk-secret"}


def test_nobody_listening_is_one_line(tmp_path, capsys, caplog):
    answers(tmp_path / "answers")
    with judging(knows) as server:
        words = words_of(config_of(tmp_path, server))
    with pytest.raises(SystemExit):
        run(COMMANDS["judge"], words)
    error = capsys.readouterr().err.splitlines()[-1]
    assert "Connection refused" in error and error.endswith("the same command goes on")
    assert sum("attempt" in record.getMessage() for record in caplog.records) == 2  # of the first request alone


def test_one_refused_request_is_counted_and_asked_again_another_time(tmp_path):
    answers(tmp_path / "answers")
    with judging(knows) as server:
        server.moods = [400]
        config = config_of(tmp_path, server)
        results, records, _ = judged(config)
        (refused,) = [record for record in records.values() if record["reason"] == "no verdict"]
        assert refused["unread"] == ["Bad Request: not now,"] and refused["credit"] == 0
        assert results["judges"]["toy"]["refused"] == {"Bad Request: not now,": 1}
        _, records, _ = judged(replace(config, output=tmp_path / "again"))
        assert len(server.asked) == 5 and not any(record["reason"] == "no verdict" for record in records.values())


def test_a_killed_command_goes_on(tmp_path):
    answers(tmp_path / "answers", dict.fromkeys([f"i{number}" for number in range(12)], "A"))

    def slow(messages: Messages) -> str:
        time.sleep(0.05)
        return knows(messages)

    with judging(slow) as server:
        config = config_of(tmp_path, server, at_once=1)
        child = multiprocessing.get_context("fork").Process(target=judge, args=(config,))
        child.start()
        while len(server.asked) < 5:
            time.sleep(0.005)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert not config.output.exists()
        judge(config)
        whole = (config.output / "items.jsonl").read_bytes()
        assert 12 <= len(server.asked) <= 13  # at most the one that was under way is asked twice
        judge(replace(config, output=tmp_path / "alone", cache=tmp_path / "other", at_once=8))
    assert (tmp_path / "alone" / "items.jsonl").read_bytes() == whole
