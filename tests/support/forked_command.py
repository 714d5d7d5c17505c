"""`history-sink`, each time in a process of its own, all forked from one that has loaded what it imports."""

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from command import Command, Ended
from history_sink_commands import run_history_sink

_LOADED = (
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.events",
    "celery.app.task",
    "celery.backends.redis",
    "history_sink.cli.backfill",
    "history_sink.cli.main",
    "kombu.transport.redis",
)
"""The command imports most of them when it needs them; together they take four fifths of its processor time."""


@dataclass(frozen=True)
class ForkedCommand(Command):
    """A `Command` whose runs do not import anew what the command stands on. `launch` starts it as a user does."""

    orders: IO[str] | None = None
    statuses: IO[str] | None = None

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> Ended:
        assert self.orders is not None
        assert self.statuses is not None
        with tempfile.TemporaryDirectory() as directory:
            files = [Path(directory, name) for name in ("in", "out", "err")]
            files[0].write_bytes(stdin)
            order = {
                "argv": ["history-sink", *map(str, arguments)],
                "env": self.environment,
                "files": list(map(str, files)),
            }
            print(json.dumps(order), file=self.orders, flush=True)
            status = int(self.statuses.readline())
            return Ended(status, files[1].read_bytes(), files[2].read_text())


@contextmanager
def forking(variables: Mapping[str, str]) -> Iterator[ForkedCommand]:
    """The command with these variables, while the process that it is forked from runs."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, __file__], stdin=pipe, stdout=pipe, text=True) as parent:
        yield ForkedCommand(variables, parent.stdin, parent.stdout)
        parent.communicate()


def main() -> None:
    """Read an order a line, run the command in a child, and print the child's status."""
    for name in _LOADED:
        import_module(name)
    gc.freeze()  # else the first collection of a child, at its end at the latest, copies all that it shares
    orders = os.fdopen(os.dup(0))  # a child gives the number 0 to another file
    for line in orders:
        child = os.fork()
        if not child:
            _become(json.loads(line))
            run_history_sink()
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(order: dict[str, Any]) -> None:
    for number, name in enumerate(order["files"]):
        os.dup2(os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT), number)
    sys.argv = order["argv"]
    os.environ.clear()
    os.environ.update(order["env"])


if __name__ == "__main__":
    main()
