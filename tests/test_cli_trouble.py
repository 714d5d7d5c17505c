"""The command `history-sink` when parts are away or it is used wrongly, and on a terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

import history_sink_commands
from command import COMMAND, Command, number, objects, write
from forked_command import ForkedCommand
from forked_process import ForkedWorker
from history_sink.protocol.contract import UPLOAD_QUEUE
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.redis import RedisServer
from stack.stack import environment as variables
from stack.stack import producer_environment
from stack.worker import Worker

BROKER_URL = "CODETETHER_HISTORY_BROKER_URL"
NOBODY = {BROKER_URL: "redis://127.0.0.1:1/0"}


@pytest.fixture(scope="module")
def run(environment: Mapping[str, str], worker: Worker) -> Command:
    """The command, with a worker and a store behind it."""
    return ForkedCommand(producer_environment(environment))


@pytest.fixture
def lonely(redis_server: RedisServer) -> Command:
    """The command, with a broker that no worker listens to."""
    return ForkedCommand({BROKER_URL: redis_server.new_database()})


def test_check_finds_that_all_is_well(run: Command, worker: Worker) -> None:
    said = len(worker.process.log())
    for _ in range(2):  # the second goes on in the session of the first
        found = objects(run("check", "--json"))
        assert [each["part"] for each in found] == ["broker", "clock", "worker", "store", "round trip"]
        assert all(each["ok"] for each in found)
    assert len(objects(run("check", "--read-only", "--json"))) == 4
    log = worker.process.log()[said:]
    assert '"asked": "whether a worker answers"' in log
    assert '"level": "warning"' not in log


def test_check_finds_that_no_worker_answers(lonely: Command) -> None:
    checked = lonely("check", "--timeout", "0.5")
    assert checked.status == 4
    assert b"FAILED  worker" in checked.out
    assert b"history-sink-worker run" in checked.out


def test_check_finds_that_the_store_is_away(redis_server: RedisServer, tmp_path: Path) -> None:
    minio = MinioServer(tmp_path / "minio")
    minio.start()
    environment = variables(minio, redis_server.new_database(), minio.create_bucket())
    worker = ForkedWorker(environment, log_path=tmp_path / "worker.log")
    try:
        worker.start()
        minio.stop()
        found = ForkedCommand(producer_environment(environment))("check", "--json", "--timeout", "20")
    finally:
        worker.process.kill()
        minio.process.kill()
    assert found.status == 3
    assert [each["ok"] for each in objects(found)] == [True, True, True, False]
    assert "store" in objects(found)[-1]["text"]


def test_a_broker_that_is_away_is_named_and_says_to_try_again(tmp_path: Path) -> None:
    run, files = ForkedCommand(NOBODY), [write(tmp_path / f"{name}.jsonl", '{"n":0}') for name in "abc"]
    saved = run("save", *files)
    assert saved.status == 4
    assert "127.0.0.1:1" in saved.err
    assert "2 not tried" in saved.err
    for arguments in (["list"], ["status", "a"], ["restore", "a", str(tmp_path / "x")], ["check"]):
        assert run(*arguments).status == 4, arguments


def test_a_broker_that_is_slow_is_not_away(own_redis: RedisServer) -> None:
    """A Redis that waits for its disk may take seconds. A save of an agent would not wait for it; a person can."""
    own_redis.process.pause()
    resume = threading.Timer(3, own_redis.process.resume)
    resume.start()
    try:
        listed = ForkedCommand({BROKER_URL: own_redis.url()})("list", "--timeout", "0.5")
    finally:
        resume.join()
    assert listed.status == 4
    assert "no worker answered within" in listed.err
    assert "away" not in listed.err


def count_uploads(redis: RedisServer, run: Command) -> int:
    with redis.client(run.variables[BROKER_URL]) as queue:
        return int(queue.llen(UPLOAD_QUEUE))


def test_where_no_worker_answers_a_save_sends_nothing_and_says_so(
    lonely: Command, redis_server: RedisServer, tmp_path: Path
) -> None:
    path = write(tmp_path / "waiting.jsonl", '{"n":0}')
    saved = lonely("save", path, "--timeout", "0.5")
    assert saved.status == 4
    assert "nothing was sent, as nobody says what the store has of it: no worker answered within 0.5 s" in saved.err
    assert count_uploads(redis_server, lonely) == 0
    handed_over = lonely("save", path, "--no-wait")
    assert handed_over.status == 0
    assert b"1 sent; handed over" in handed_over.out
    assert count_uploads(redis_server, lonely) == 1
    assert lonely("status", "waiting", "--timeout", "0.3").status == 4


@pytest.fixture
def reader_only(redis_server: RedisServer, minio_server: MinioServer, tmp_path: Path) -> Iterator[Command]:
    """The command, with a worker that answers questions and stores nothing."""
    environment = variables(minio_server, redis_server.new_database(), minio_server.create_bucket())
    worker = ForkedWorker(environment, log_path=tmp_path / "worker.log", queues=["history.read"])
    worker.start()
    yield ForkedCommand(producer_environment(environment))
    worker.process.kill()


def test_a_save_that_the_store_does_not_confirm_says_so(reader_only: Command, tmp_path: Path) -> None:
    saved = reader_only("save", write(tmp_path / "waiting.jsonl", '{"n":0}'), "--timeout", "3")
    assert saved.status == 4
    assert "has not confirmed it within 3 s: the store has 0 of 8 bytes" in saved.err


def test_ctrl_c_ends_a_save_and_says_what_was_handed_over(
    reader_only: Command, redis_server: RedisServer, tmp_path: Path
) -> None:
    lonely = reader_only
    files = [write(tmp_path / f"{name}.jsonl", *number(0, 3)) for name in "ab"]
    child = lonely.launch("save", *files)
    with redis_server.client(lonely.variables[BROKER_URL]) as queue:
        wait_until(lambda: queue.llen(UPLOAD_QUEUE) == 2, timeout_seconds=20, what="two saves in the queue")
    child.send_signal(signal.SIGINT)  # it waits for a worker that does not come
    _, err = child.communicate(timeout=10)
    assert child.returncode == 130
    assert b"Done with 0 of 2 files." in err
    assert b"a.jsonl: 3 messages handed over" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize("comes", ["bare", "as a cause"])
@pytest.mark.parametrize(
    "start", [history_sink_commands.run_history_sink, history_sink_commands.run_history_sink_worker]
)
def test_ctrl_c_while_the_packages_are_loaded_ends_in_a_line(
    start: Callable[[], None], comes: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(name: str) -> None:
        if comes == "bare":
            raise KeyboardInterrupt(name)
        raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt(name)

    monkeypatch.setattr(history_sink_commands, "import_module", interrupt)
    with pytest.raises(SystemExit) as ended:
        start()
    assert (ended.value.code, capsys.readouterr().err) == (130, "Interrupted.\n")
    code = "import sys, history_sink_commands; print({'history_sink', 'history_sink_worker', 'click'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"set()\n"


def test_a_missing_or_malformed_variable_is_named_and_never_quoted() -> None:
    unset = ForkedCommand()("list")
    assert (unset.status, BROKER_URL in unset.err) == (2, True)
    malformed = ForkedCommand({BROKER_URL: "redis:/:secret@host"})("check")
    assert (malformed.status, BROKER_URL in malformed.err, "secret" in malformed.err) == (2, True, False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["resolve", "s", "--bytes", "7"],
        ["resolve", "s", "--bytes", "7:3"],
        ["resolve", "s", "--bytes", "-1:3"],
        ["resolve", "s", "--bytes", "1:2", "--messages", "1:2"],
        ["resolve", ".hidden"],
        ["restore", "s", "x", "--branch", "main"],
        ["restore", "s", "x", "--branch", "000000000001-0000000000000000", "--stray", "k"],
        ["save", "a", "b", "--session", "s"],
        ["save"],
        ["save", "a.jsonl", "--no-such-option"],
        ["save", "a.jsonl", "-q"],
    ],
)
def test_wrong_usage_is_told_before_anything_is_asked(arguments: list[str]) -> None:
    ended = ForkedCommand(NOBODY)(*arguments)
    assert (ended.status, "Usage:" in ended.err) == (2, True)


def test_both_commands_tell_their_version() -> None:
    for name in ("history-sink", "history-sink-worker"):
        command = [str(Path(COMMAND).with_name(name)), "--version"]
        assert subprocess.run(command, capture_output=True, check=True).stdout.split()[0].decode() == f"{name},"


def test_latest_as_a_branch_is_led_to_its_option() -> None:
    ended = ForkedCommand(NOBODY)("resolve", "s", "--branch", "latest")
    assert (ended.status, "--latest is the option" in ended.err) == (2, True)


def test_a_file_that_begins_with_a_dash_is_saved_and_a_mistyped_option_is_named(run: Command, tmp_path: Path) -> None:
    write(tmp_path / "--odd.jsonl", *number(0, 2))
    saved = subprocess.run([COMMAND, "save", "--odd.jsonl"], cwd=tmp_path, env=run.environment, check=False)
    assert saved.returncode == 0
    assert "there is no option --no-such-option, and no such file" in run("save", "x", "--no-such-option").err


def test_one_json_array_is_no_jsonl_and_is_told_so(run: Command, tmp_path: Path) -> None:
    array = tmp_path / "array.jsonl"
    array.write_bytes(b'[{"n":1},{"n":2}]')
    ended = run("save", array, "--json")
    assert ended.status == 1
    assert "no JSONL but one JSON array: nothing was sent" in ended.err
    assert "still being written" not in ended.err
    array.write_bytes(b'[\n{"n":1},\n{"n":2}\n]\n')
    ended = run("save", array)
    assert (ended.status, "begins with [, as one JSON array does" in ended.err) == (0, True)


# What a terminal and a shell see


def test_a_bar_is_shown_on_a_terminal_and_stdout_stays_clean(run: Command, tmp_path: Path) -> None:
    path = write(tmp_path / "shown.jsonl", *number(0, 10))
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [COMMAND, "save", path, "--json"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=run.environment | {"TERM": "xterm"},
    )
    os.close(theirs)
    out, _ = child.communicate(timeout=30)
    shown = b"".join(read_terminal(ours))
    os.close(ours)
    assert json.loads(out)["stored"]
    assert b"saving" in shown


def read_terminal(number: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(number, 65536)
        except OSError:  # EIO: its last writer has gone
            return


def test_help_names_the_exit_statuses_and_loads_nothing_heavy() -> None:
    assert "130  ended by Ctrl-C" in ForkedCommand()("--help").err + ForkedCommand()("--help").out.decode()
    heavy = "import sys, history_sink.cli; sys.exit(bool({'celery', 'kombu', 'redis', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", heavy], timeout=30, check=False).returncode == 0
