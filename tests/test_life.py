"""The commands delete, prune and verify as an operator runs them, on real servers and beside live workers."""

import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from celery import Celery
from click.testing import CliRunner, Result

from forked_process import ForkedWorker
from history_sink import HistorySink
from history_sink.protocol.chain import ORIGIN, advance
from history_sink_worker.archive.context import Fact
from history_sink_worker.archive.piece import write_meta
from history_sink_worker.archive.settled import base_meta
from history_sink_worker.cli.main import main
from logbook import some_lines
from stack.minio import MinioServer
from stack.processes import free_port, wait_until
from stack.proxy import Proxy
from stack.redis import RedisServer
from stack.stack import UNSAFE_TIMES, producer_environment
from stack.stack import environment as variables
from stack.worker import Worker

NAMES = "history/~deleted"

SETTLE_SECONDS = 2.0


def objects(ended: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.stdout.splitlines()]


class Place:
    """A bucket and queues of their own; T is two seconds."""

    def __init__(self, minio: MinioServer, redis: RedisServer) -> None:
        self.bucket, self.store = minio.create_bucket(), minio.client()
        quick = {
            **UNSAFE_TIMES,
            "CODETETHER_HISTORY_SETTLE_SECONDS": str(SETTLE_SECONDS),
            "CODETETHER_HISTORY_IDLE_SECONDS": "0.5",
            "CODETETHER_HISTORY_VISIBILITY_TIMEOUT_SECONDS": "4",
        }
        self.environment = {**variables(minio, redis.new_database(), self.bucket), **quick}

    def __call__(self, *arguments: str, stdin: str = "", status: int = 0) -> Result:
        """Run the command in this process: half of a second less for each."""
        ended = CliRunner(env=self.environment).invoke(main, [*arguments], input=stdin)
        assert ended.exit_code == status, ended.output
        return ended

    def list_keys(self, session: str = "") -> list[str]:
        """Without the list of what was deleted."""
        prefix = f"history/{session}/" if session else "history/"
        page = self.store.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        keys = [entry["Key"] for entry in page.get("Contents", ())]
        return [key for key in keys if key != NAMES]

    def put(self, key: str, body: bytes, meta: Mapping[str, str] | None = None) -> None:
        self.store.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=dict(meta or {}))

    def get(self, key: str) -> tuple[bytes, dict[str, str]]:
        answer = self.store.get_object(Bucket=self.bucket, Key=key)
        return answer["Body"].read(), answer["Metadata"]

    def put_log(self, session: str, lines: list[bytes]) -> None:
        """As a worker would, without one."""
        chain = ORIGIN
        for line in lines:
            chain = advance(chain, line)
        body = b"".join(lines)
        self.put(
            f"history/{session}/history.jsonl",
            body,
            base_meta(write_meta(Fact(len(lines), ORIGIN, chain)), len(body)),
        )

    def sink(self) -> HistorySink:
        return HistorySink.from_env(producer_environment(self.environment))

    @contextmanager
    def worker(self, directory: Path) -> Iterator[Worker]:
        worker = ForkedWorker(self.environment, log_path=directory / "worker.log")
        worker.start()
        try:
            yield worker
        finally:
            worker.stop()


@pytest.fixture
def place(minio_server: MinioServer, redis_server: RedisServer) -> Iterator[Place]:
    handlers, level = logging.root.handlers, logging.root.level
    yield Place(minio_server, redis_server)
    logging.root.handlers = handlers  # each command has set up its own
    logging.root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


class Agent(threading.Thread):
    """Saves one message after the other until it is refused, or told to end; for a minute at most."""

    def __init__(self, sink: HistorySink, session: str) -> None:
        super().__init__()
        self.sink, self.session, self.saved = sink, session, 0
        self.states: list[str] = []
        self.ending = threading.Event()

    def run(self) -> None:
        history: list[Any] = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.states[-1:] != ["refused"] and not self.ending.wait(0.1):
            history.append({"n": len(history)})
            self.states.append(self.sink.save(self.session, history).state)
            self.saved = len(history)


def test_a_session_that_is_written_to_is_deleted_and_stays_so(place: Place, tmp_path: Path) -> None:
    with place.worker(tmp_path), place.sink() as sink:
        sink.save("other", [{"n": 1}])
        agent = Agent(sink, "gone")
        agent.start()
        wait_until(lambda: len(place.list_keys("gone")) > 5, timeout_seconds=20, what="a log with a tail")
        handle = sink.pointer("gone", byte_range=(0, 5))
        assert "deleted; " in place("delete", "gone", stdin="y\n").output
        assert sink.resolve(handle).kind == "no_match"  # type: ignore[union-attr]  # a fault
        assert sink.status("gone").logs == ()
        assert [summary.session for summary in sink.list_sessions().sessions] == ["other"]
        agent.join(90)
        assert agent.states[-1] == "refused"
        assert not sink.flush("gone", 5)
        stone = ["history/gone/history.jsonl"]
        wait_until(lambda: place.list_keys("gone") == stone, timeout_seconds=20, what="a second sweep")
        assert sink.flush("other", 10)
    assert len(place.get(stone[0])[0]) == 43
    assert not [key for key in place.list_keys() if ".dead" in key]


def test_what_waited_in_the_queue_is_dropped_and_acknowledged(
    place: Place, redis_server: RedisServer, tmp_path: Path
) -> None:
    url = place.environment["CODETETHER_HISTORY_BROKER_URL"]
    app = Celery("client", broker=url, backend=url, set_as_current=False)
    with place.sink() as sink:
        sink.save("waits", [{"text": "canary"}] * 3)
    upload = "history_sink.upload_history"
    plain = app.send_task(upload, args=["waits", [{"text": "canary"}]], queue="history.upload")
    broken = app.send_task(upload, args=["waits", [{"text": "canary"}, 7]], queue="history.upload")
    place("delete", "waits", "--yes", "--missing-ok")
    with place.worker(tmp_path) as worker, redis_server.client(url) as redis:
        assert plain.get(timeout=20)["outcome"] == "deleted"
        with pytest.raises(Exception, match="messages"):
            broken.get(timeout=20)
        names = ("history.upload", "unacked")
        wait_until(lambda: not redis.exists(*names), timeout_seconds=20, what="empty queues")
        assert '"level": "info", "event": "message of a deleted session dropped"' in worker.process.log()
        assert "canary" not in worker.process.log()
    assert place.list_keys() == ["history/waits/history.jsonl"]


def test_dead_letters_of_a_session_go_with_it(place: Place, tmp_path: Path) -> None:
    url = place.environment["CODETETHER_HISTORY_BROKER_URL"]
    app = Celery("client", broker=url, backend=url, set_as_current=False)
    with place.worker(tmp_path):
        for session in ("mine", "other"):
            app.send_task("history_sink.upload_history", args=[session, [7]], queue="history.upload")
        wait_until(lambda: len(place.list_keys()) == 2, timeout_seconds=20, what="two dead letters")
    place.put("history/.dead/20261123T041500.123Z-unreadable", b"?")
    (done,) = objects(place("delete", "mine", "--yes", "--json"))
    assert (done["letters"], done["unknown_letters"], done["objects"], done["is_new"]) == (1, 1, 0, True)
    assert "other" in [letter.get("session") for letter in objects(place("dead", "list", "--json"))]
    assert len(place.list_keys()) == 3


def test_nothing_is_deleted_without_a_yes(place: Place) -> None:
    place.put_log("monday", some_lines(3))
    ended = place("delete", "monday", stdin="n\n", status=1)
    assert "monday: 1 objects, 39 bytes, 0 branches, last written " in ended.output
    assert "--yes asks nothing" in place("delete", "monday", stdin="", status=2).stderr
    place("delete", "monday", "--json", status=2)
    assert "a session id is" in place("delete", "../monday", "--yes", status=2).stderr
    place("prune", "--older-than", "1d", "--json", status=2)
    assert place("verify").output == "1 sessions, 1 logs, 1 objects, 39 bytes read: 0 problems, 0 notes\n"


def test_a_session_whose_name_begins_with_a_dash_is_deleted_like_any_other(place: Place) -> None:
    place.put_log("-Users-home-x", some_lines(3))
    assert "-Users-home-x: deleted; " in place("delete", "-Users-home-x", "--yes").output
    assert "deleted at 20" in place("verify", "-Users-home-x").output
    assert "No such option" in place("delete", "s", "--yess", status=2).stderr


def test_a_session_of_which_nothing_is_stored_can_be_blocked(place: Place) -> None:
    refused = place("delete", "later", "--yes", status=1)
    assert "nothing is stored of later, and nothing was done" in refused.stderr
    assert place.list_keys() == []
    assert "Nothing is stored of later." in place("delete", "later", "--missing-ok", stdin="y\n").output
    assert "later was deleted before." in place("delete", "later", stdin="y\n").output
    assert "; a worker sweeps once more at 20" in place("delete", "later", "--yes").output
    assert "nothing is stored of never" in place("verify", "never", status=2).stderr
    assert "deleted at 20" in place("verify", "later").output


def test_without_a_redis_that_notes_it_the_second_sweep_is_the_operators(place: Place) -> None:
    place.environment["CODETETHER_HISTORY_REDIS_URL"] = f"redis://127.0.0.1:{free_port()}"
    said = place("delete", "monday", "--yes", "--missing-ok").output
    assert "no Redis has noted it: sweep (`tidy`, or this again) once more at 20" in said


def test_that_nobody_may_ask_for_versions_is_said(place: Place, minio_server: MinioServer) -> None:
    denied = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    denied = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%b" % (len(denied), denied)
    place.put_log("monday", some_lines(3))
    with Proxy(minio_server.port) as proxy:
        proxy.refuse = lambda head: denied if b"?versioning" in head else b""
        place.environment["CODETETHER_HISTORY_S3_ENDPOINT"] = f"http://127.0.0.1:{proxy.port}"
        assert "keeps versions of what is deleted could not be found out" in place("delete", "monday", "--yes").stderr


def test_verify_of_a_place_where_nothing_is_says_so(place: Place) -> None:
    place.put_log("monday", some_lines(3))
    place.environment["CODETETHER_HISTORY_S3_PREFIX"] = "mistyped"
    assert f'nothing is stored under "mistyped/" in bucket "{place.bucket}"' in place("verify").stderr


def test_a_queue_that_does_not_say_what_waits_is_not_taken_for_an_empty_one(
    place: Place, redis_server: RedisServer
) -> None:
    place.put_log("monday", some_lines(3))
    grow_old()
    with redis_server.client() as client:
        client.acl_setuser("no-lengths", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-llen", "-exists"])
    url = place.environment["CODETETHER_HISTORY_BROKER_URL"]
    place.environment["CODETETHER_HISTORY_BROKER_URL"] = re.sub("//([^@/]*@)?", "//no-lengths:x@", url)
    said = place("prune", "--older-than", "4s", "--yes", status=1).output
    assert "nobody knows whether uploads wait" in said
    assert place.list_keys("monday")


def test_a_bucket_that_keeps_versions_is_warned_of(place: Place) -> None:
    place.store.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    place.put_log("monday", some_lines(3))
    assert "The bucket keeps versions" in place("delete", "monday", "--yes").stderr
    place("verify")  # has nothing against the list of what was deleted
    versions = place.store.list_object_versions(Bucket=place.bucket, Prefix="history/monday/")["Versions"]
    assert [version["Size"] for version in versions] == [43, 39]


def test_in_a_locked_bucket_a_log_is_kept_and_deleted_as_elsewhere(place: Place, tmp_path: Path) -> None:
    bucket = f"{place.bucket}-locked"
    place.store.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    place.store.put_object_lock_configuration(
        Bucket=bucket,
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},  # type: ignore[typeddict-item]
    )
    place.bucket = place.environment["CODETETHER_HISTORY_S3_BUCKET"] = bucket
    with place.worker(tmp_path), place.sink() as sink:
        for count in range(1, 20):
            sink.save("s", [{"n": n} for n in range(count)])
        assert sink.flush("s", 20)
        wait_until(lambda: len(place.list_keys("s")) == 1, timeout_seconds=20, what="a fold and a sweep")
        place("delete", "s", "--yes")
        assert sink.status("s").logs == ()


def grow_old(seconds: float = 2 * SETTLE_SECONDS + 1.1) -> float:
    """Until what is there now is older than the least that may be pruned. Returns when that is."""
    began_at = time.time()
    wait_until(lambda: time.time() > began_at + seconds, timeout_seconds=20, what="old objects")
    return time.time()


def younger_than(at: float) -> str:
    """An age that everything has which was written some seconds before `at`."""
    return f"{max(int(time.time() - at) + 2, 4)}s"


def test_old_sessions_are_pruned_and_young_ones_stay(place: Place) -> None:
    for name in ("a", "a-1", "b"):
        place.put_log(name, some_lines(3))
    place("delete", "b", "--yes")
    at = grow_old()
    place.put_log("young", some_lines(3))
    place.put("history/a-1/tail/000000000039-0123456789abcdef.jsonl", b"{}\n")
    before = place.list_keys()
    ended = place("prune", "--older-than", younger_than(at), "--dry-run", "--json")
    assert [folder["session"] for folder in objects(ended)] == ["a"]
    asked = place("prune", "--older-than", younger_than(at), stdin="n\n", status=1).output
    assert "1 sessions not written to since" in asked
    assert place.list_keys() == before
    *removed, letters = objects(place("prune", "--older-than", younger_than(at), "--yes", "--json"))
    assert [(each["session"], each["size_bytes"]) for each in removed] == [("a", 39)]
    assert letters == {"letters": 0, "unknown_letters": 0}
    assert [len(place.get(key)[0]) for key in place.list_keys() if key.endswith("history.jsonl")] == [39, 43, 43, 39]
    assert place.get(NAMES)[0] == b"a\nb\n"
    for age in (younger_than(at), "999999999w"):
        assert "0 sessions not written to since" in place("prune", "--older-than", age).output


def test_nothing_is_pruned_while_uploads_wait(place: Place) -> None:
    place.put_log("old", some_lines(3))
    with place.sink() as sink:
        sink.save("old", [{"n": 1}])
    grow_old()
    assert "uploads wait in the queue" in place("prune", "--older-than", "5s", "--yes", status=1).output
    place("prune", "--older-than", "5s", "--dry-run")
    assert len(place.get("history/old/history.jsonl")[0]) == 39
    place("prune", "--older-than", "5s", "--yes", "--although-uploads-wait")
    assert len(place.get("history/old/history.jsonl")[0]) == 43


@pytest.mark.parametrize("text", ["90", "d", "-1d", "1.5d", "90 d", "1y", "", "٣d", "1s", "0w"])
def test_an_age_that_is_none_is_refused(place: Place, text: str) -> None:
    assert "--older-than" in place("prune", "--older-than", text, "--yes", status=2).stderr


def test_a_store_that_is_away_ends_each_command_with_its_reason(place: Place) -> None:
    place.environment["CODETETHER_HISTORY_S3_ENDPOINT"] = "http://127.0.0.1:9"
    for arguments, status in (
        (["delete", "s", "--yes"], 1),
        (["prune", "--older-than", "1d", "--yes"], 1),
        (["verify"], 2),
    ):
        ended = place(*arguments, status=status)
        assert ended.stderr.startswith("history-sink-worker: ")
        assert "EndpointConnectionError" in ended.stderr


def test_verify_names_what_is_wrong_and_ends_with_one(place: Place) -> None:
    for name in ("cut", "sound", "touched"):
        place.put_log(name, some_lines(5))
    body, meta = place.get("history/touched/history.jsonl")
    place.put("history/touched/history.jsonl", body.replace(b"03", b"30"), meta)
    body, meta = place.get("history/cut/history.jsonl")
    place.put("history/cut/history.jsonl", body[:-13], meta)
    foreign = ["history/.dead/notes", "history/readme.txt", "history/sound/branches/x", "history/sound/notes.txt"]
    for key in foreign:
        place.put(key, b"?")
    place.put("history/.dead/20261123T041500.123Z-unreadable", b"?")
    *findings, totals = objects(place("verify", "--json", status=1))
    assert {(finding["kind"], finding["key"]) for finding in findings} == {
        ("chain", "history/touched/history.jsonl"),
        ("size", "history/cut/history.jsonl"),
        ("dead letter", "history/.dead/20261123T041500.123Z-unreadable"),
        *(("foreign", key) for key in foreign),
    }
    assert (totals["problems"], totals["notes"], totals["sessions"], totals["logs"]) == (7, 0, 3, 3)
    assert "problem  chain" in place("verify", "touched", status=1).output
    assert objects(place("verify", "cut", "--json", status=1))[-1]["problems"] == 1


def test_verify_finds_nothing_beside_workers_at_work(place: Place, tmp_path: Path) -> None:
    place.environment["CODETETHER_HISTORY_SETTLE_SECONDS"] = "20"  # a LIST on a busy machine takes its time
    with place.worker(tmp_path), place.sink() as sink:
        agents = [Agent(sink, f"s-{number}") for number in range(2)]
        for agent in agents:
            agent.start()
        wait_until(lambda: all(agent.saved > 20 for agent in agents), timeout_seconds=20, what="saves")
        for _ in range(3):
            assert objects(place("verify", "--json"))[-1]["logs"] == 2
        for agent in agents:
            agent.ending.set()
        assert all(sink.flush(agent.session, 30) for agent in agents)
        assert objects(place("verify", "--json"))[-1]["problems"] == 0


# Not ru_maxrss: an exec leaves it what the process was that forked, which has held the large log.
MEASURED = """
import sys
from history_sink_worker.cli.main import main
try:
    main(["verify", "--json"])
finally:
    print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
"""


def test_verify_takes_as_much_memory_for_a_large_log_as_for_a_small_one(place: Place) -> None:
    def measure() -> int:
        environment = {**os.environ, **place.environment}
        ended = subprocess.run(
            [sys.executable, "-c", MEASURED], env=environment, capture_output=True, text=True, timeout=120, check=True
        )
        assert json.loads(ended.stdout)["problems"] == 0
        return int(ended.stderr.split()[-1])

    place.put_log("small", some_lines(2000, size_bytes=2000))
    small_kib = measure()
    place.put_log("large", some_lines(2000, size_bytes=50_000))  # 100 MB
    assert measure() < small_kib + 24 * 1024


def test_progress_is_on_a_terminal_and_what_was_found_where_it_is_sent_to(place: Place, tmp_path: Path) -> None:
    place.put_log("a", some_lines(3))
    place.put("history/a/notes.txt", b"?")
    ours, theirs = pty.openpty()
    with (tmp_path / "out").open("wb") as out:
        ended = subprocess.run(
            [sys.executable, "-m", "history_sink_worker.cli.main", "verify", "--json"],
            env={**os.environ, **place.environment, "TERM": "xterm"},
            stdout=out,
            stderr=theirs,
            timeout=60,
            check=False,
        )
    os.close(theirs)
    shown = os.read(ours, 100_000)
    os.close(ours)
    assert ended.returncode == 1
    assert b"1 sessions, 39 bytes read" in shown or b"0 sessions, 39 bytes read" in shown
    first, _ = map(json.loads, (tmp_path / "out").read_text().splitlines())
    assert first["key"] == "history/a/notes.txt"


def test_ctrl_c_ends_verify_with_what_it_has_done(place: Place) -> None:
    place.put_log("a", some_lines(3))
    place.put_log("large", some_lines(2000, size_bytes=50_000))
    place.put("history/a/notes.txt", b"?")
    pipe = subprocess.PIPE
    environment = {**os.environ, **place.environment}
    command = [sys.executable, "-m", "history_sink_worker.cli.main", "verify", "--json"]
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        first = process.stdout.readline()  # it is at the large one now
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert json.loads(first)["key"] == "history/a/notes.txt"
    assert process.returncode == 130, err
    assert b"interrupted after " in err
    assert b"Traceback" not in err
    assert out == b""
