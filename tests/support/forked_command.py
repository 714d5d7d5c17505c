"""`history-sink`, each time in a process of its own, all forked from one that has loaded what it imports."""

from dataclasses import dataclass
from pathlib import Path

from command import Command, Ended
from forked_process import run_forked


@dataclass(frozen=True)
class ForkedCommand(Command):
    """A `Command` whose runs do not import anew what the command stands on. `launch` starts it as a user does."""

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> Ended:
        status, out, err = run_forked("commands", ("history-sink", *map(str, arguments)), self.environment, stdin)
        return Ended(status, out, err.decode())
