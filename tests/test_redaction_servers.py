"""No byte of a planted secret behind the producer: in Redis, in the store, in events, in logs."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from bench.planted_secrets import Planted, plant
from command import Command
from history_sink import HistorySink
from history_sink_agents.redaction import Redaction
from layers import unwrap
from stack.processes import wait_until
from store_site import Site

SEED = 1


@pytest.fixture
def planted(tmp_path: Path) -> list[Planted]:
    """Those that redaction finds, of each kind and in each surrounding; the others are another test's."""
    redaction = Redaction(environment={}, state_folder=tmp_path)
    found = [each for each in plant(SEED) if each.is_gone_from(redaction(each.line).decode())]
    assert len(found) > 140
    return found


def read_redis(site: Site) -> list[bytes]:
    """Whatever is in it."""
    readers: dict[bytes, Any] = {}
    with site.redis.client(site.url) as client:
        readers = {
            b"list": lambda key: client.lrange(key, 0, -1),
            b"hash": client.hgetall,
            b"string": client.get,
            b"zset": lambda key: client.zrange(key, 0, -1),
            b"set": client.smembers,
            b"stream": client.xrange,
            b"none": lambda key: None,  # it has just gone
        }
        return [
            each for key in client.scan_iter() for value in (readers[client.type(key)](key),) for each in unwrap(value)
        ]


def read_store(site: Site) -> list[bytes]:
    client = site.minio.client()
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=site.bucket)["Contents"]]
    objects = [client.get_object(Bucket=site.bucket, Key=key) for key in keys]
    return [each["Body"].read() + json.dumps(each["Metadata"]).encode() for each in objects]


def leaks(planted: list[Planted], places: list[bytes]) -> list[str]:
    text = b"\n".join(places).decode(errors="replace")
    return [f"{each.kind} in {each.surrounding}" for each in planted if not each.is_gone_from(text)]


def test_a_planted_secret_leaves_no_byte_behind_the_producer(
    site: Site, planted: list[Planted], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="history_sink")
    lines = [each.line for each in planted]
    with HistorySink.from_env(site.environment) as plain:
        plain.save("plain", lines[:1])
    assert leaks(planted[:1], read_redis(site))  # whoever looks finds what is there
    with site.redis.client(site.url) as client:
        client.flushdb()

    redaction = Redaction(environment={}, state_folder=tmp_path)
    with HistorySink.from_env(site.environment, filters=[redaction]) as sink:
        receipt = sink.save("library", lines)
        assert receipt.messages == len(lines)
        assert sum(receipt.filtered.values()) >= len(lines)
        file = tmp_path / "command.jsonl"
        file.write_bytes(b"".join(line + b"\n" for line in lines))
        variables = {**site.environment, "CODETETHER_HISTORY_FILTERS": "redact", "XDG_STATE_HOME": str(tmp_path)}
        saved = Command(variables)("save", "--no-wait", file)
        assert saved.status == 0, saved.err
        assert b"github_token" in saved.out
        waiting = read_redis(site)
        assert any(b"REDACTED" in each for each in waiting)
        assert leaks(planted, waiting) == []
        with site.redis.client(site.url) as client, client.pubsub() as listener:
            listener.psubscribe("*")
            worker = site.start_worker(arguments=["--loglevel", "DEBUG"])
            assert sink.flush("library", 60)
            wait_until(
                lambda: len(sink.list_sessions().sessions) == 2, timeout_seconds=30, what="the command's session"
            )
            deadline, events = time.monotonic() + 20, list[bytes]()
            while not any(b"task-succeeded" in each for each in events) and time.monotonic() < deadline:
                told = listener.get_message(timeout=1)
                events += unwrap(told["data"]) if told and isinstance(told["data"], bytes) else []
    assert any(b"task-succeeded" in each for each in events)
    said = [worker.process.log().encode(), caplog.text.encode(), saved.out, saved.err.encode()]
    assert leaks(planted, [*events, *read_redis(site), *read_store(site), *said]) == []
    with HistorySink.from_env(site.environment) as reader:
        assert b"".join(reader.read("library")) == b"".join(redaction(line) + b"\n" for line in lines)
        assert b"".join(reader.read("command")) == b"".join(redaction(line) + b"\n" for line in lines)
