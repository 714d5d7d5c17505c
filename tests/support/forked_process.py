"""Workers and commands, each in a process of its own, all forked from one that has loaded what they import: a nursery.

One that begins with its imports takes a second of processor time for them, and the suite starts hundreds.
"""

import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from history_sink_commands import run_history_sink
from stack.launch import die_with_parent
from stack.processes import Child, Process
from stack.worker import Worker

_REPOSITORY = Path(__file__).parents[2]
_WORKERS = (
    "boto3.session",
    "celery.app.control",
    "celery.app.events",
    "celery.apps.worker",
    "celery.backends.redis",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "celery.events.state",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.strategy",
    "kombu.transport.redis",
    "history_sink_worker.cli.commands",
    "history_sink_worker.gate.consumer_pause",
    "history_sink_worker.health.watcher",
    "history_sink_worker.intake.consumer",
    "history_sink_worker.redis_transport.transport",
    "history_sink_worker.search_step",
    "history_sink_worker.startup",
    "history_sink_worker.task",
    "history_sink_worker.upkeep",
)
_COMMANDS = (
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.events",
    "celery.app.task",
    "celery.backends.redis",
    "history_sink.cli.backfill",
    "history_sink.cli.main",
    "history_sink_agents.browse.command",
    "history_sink_agents.disk.prune_command",
    "history_sink_agents.disk.survey_command",
    "history_sink_agents.restore.command",
    "history_sink_agents.sealing.command",
    "history_sink_agents.watch.command",
    "kombu.transport.redis",
)
"""The library's: the command imports most of them when it needs them."""
_LOADED = {"workers": _WORKERS, "commands": _COMMANDS}
_AT_HOME = "history_sink_worker.application"
"""It reads the environment when it is imported: each program's own."""


class ForkedProcess(Process):
    """A `Process` that runs ``python -m MODULE ARGUMENT…``, for tests of what a worker does once it runs.

    Signals, log, environment, files, session and end are as a `Process` has them. Three things are not, and whoever
    tests those takes a `Process`: its command line in /proc is the nursery's, it shares the nursery's memory until
    it writes there, and a variable that a library reads while it is imported comes too late.
    """

    def _spawn(self, log: BinaryIO) -> Child:
        python, option, *argv = self.command
        assert (python, option) == (sys.executable, "-m")
        directory = str(self._directory or os.getcwd())
        files = [os.devnull, log.name, log.name]
        return _nursery("workers").fork(argv, self._environment, files, directory)


def operate(environment: Mapping[str, str], *arguments: str, answer: str = "") -> "subprocess.CompletedProcess[str]":
    """Run ``history-sink-worker ARGUMENT…``; see `run_module`."""
    return run_module(environment, "history_sink_worker.cli.main", *arguments, answer=answer)


def run_module(environment: Mapping[str, str], *argv: str, answer: str = "") -> "subprocess.CompletedProcess[str]":
    """Run ``python -m MODULE ARGUMENT…`` to its end, with these variables and none of ours; it may read `answer`.

    Whoever tests what a user meets before the module's own work begins starts it as a user does.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CODETETHER_")}
    status, out, err = run_forked("workers", argv, {**kept, **environment}, answer.encode())
    return subprocess.CompletedProcess(argv, status, out.decode(), err.decode())


def run_forked(
    nursery: str, argv: Sequence[str], environment: Mapping[str, str], stdin: bytes
) -> tuple[int, bytes, bytes]:
    """Run one to its end; how it ended, and its two outputs. `nursery` is a name of `_LOADED`."""
    with tempfile.TemporaryDirectory() as directory:
        files = [Path(directory, name) for name in ("in", "out", "err")]
        for path in files:
            path.write_bytes(stdin if path.name == "in" else b"")
        child = _nursery(nursery).fork(argv, environment, list(map(str, files)), os.getcwd())
        try:
            status = child.wait(60)
        finally:
            child.send_signal(signal.SIGKILL)
        return status, files[1].read_bytes(), files[2].read_bytes()


class ForkedWorker(Worker):
    """A `Worker` that is forked; see `ForkedProcess`."""

    process_type = ForkedProcess


class _Nursery:
    def __init__(self, kind: str) -> None:
        pipe = subprocess.PIPE
        # A session of its own: Ctrl-C on the terminal is for us. It ends when we do, with its standard input.
        command = [sys.executable, "-m", "tests.support.forked_process", kind]
        self._program = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, start_new_session=True, cwd=_REPOSITORY
        )
        self._lock = threading.Lock()

    def ask(self, order: dict[str, Any]) -> int | None:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        with self._lock:
            print(json.dumps(order), file=self._program.stdin, flush=True)
            answer: int | None = json.loads(self._program.stdout.readline())
        return answer

    def fork(self, argv: Sequence[str], environment: Mapping[str, str], files: Sequence[str], directory: str) -> Child:
        pid = self.ask({"argv": argv, "env": environment, "files": files, "directory": directory})
        assert pid is not None
        return _ForkedChild(self, pid)


@cache
def _nursery(kind: str) -> _Nursery:
    return _Nursery(kind)


@dataclass
class _ForkedChild:
    """As `subprocess.Popen`; its parent, which alone learns how it ended, is the nursery."""

    nursery: _Nursery
    pid: int
    _status: int | None = field(default=None, init=False)

    def poll(self) -> int | None:
        if self._status is None:
            self._status = self.nursery.ask({"ended": self.pid})
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        deadline = time.monotonic() + timeout if timeout is not None else float("inf")
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(0.005)
        return status

    def send_signal(self, sig: int, /) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)


def main() -> None:
    """Read an order a line: fork a program and print its process id, or print a child's status (null: it runs)."""
    for name in _LOADED[sys.argv[1]]:
        import_module(name)
    assert _AT_HOME not in sys.modules, "the nursery's environment would be each worker's"
    gc.freeze()  # else the first collection of a child copies all that it shares
    orders = os.fdopen(os.dup(0))  # a child gives the number 0 to another file
    statuses: dict[int, int] = {}
    for line in orders:
        order = json.loads(line)
        if "ended" in order:
            print(json.dumps(_find_status(order["ended"], statuses)), flush=True)
            continue
        nursery = os.getpid()
        is_out, leaves = os.pipe()
        child = os.fork()
        if not child:
            os.close(is_out)
            orders.close()
            _become(order, nursery)
            os.close(leaves)
            if order["argv"][0] == "history-sink":
                run_history_sink()
            else:
                runpy.run_module(order["argv"][0], run_name="__main__", alter_sys=True)
            return
        os.close(leaves)
        os.read(is_out, 1)  # nothing, once it can be signalled as a group
        os.close(is_out)
        statuses.pop(child, None)  # of one that had the number before
        print(child, flush=True)


def _find_status(pid: int, statuses: dict[int, int]) -> int | None:
    if pid not in statuses:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            return None
        statuses[pid] = os.waitstatus_to_exitcode(status)
    return statuses[pid]


def _become(order: dict[str, Any], nursery: int) -> None:
    os.setsid()
    die_with_parent(nursery)
    for number, name in enumerate(order["files"]):
        file = os.open(name, os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY)
        os.dup2(file, number)
        os.close(file)
    os.chdir(order["directory"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = order["argv"]
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [order["directory"], *(each for each in added if each and each not in sys.path)]


if __name__ == "__main__":
    main()
