"""The command `history-sink` as a user runs it: a process of its own, its two outputs apart."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMAND = str(Path(sys.executable).with_name("history-sink"))


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: bytes
    err: str


@dataclass(frozen=True)
class Command:
    """`history-sink` with these variables, and none of ours that it could read instead."""

    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CODETETHER_")}
        return {**kept, **self.variables}

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> Ended:
        done = subprocess.run(
            [COMMAND, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            env=self.environment,
            timeout=60,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr.decode())

    def launch(self, *arguments: str | Path) -> "subprocess.Popen[bytes]":
        """Start it, and return at once."""
        pipe = subprocess.PIPE
        return subprocess.Popen([COMMAND, *map(str, arguments)], stdout=pipe, stderr=pipe, env=self.environment)


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def number(start: int, stop: int) -> list[str]:
    return [f'{{"n":{n}}}' for n in range(start, stop)]


def objects(ended: Ended) -> list[dict[str, Any]]:
    """What it printed for programs. One that printed nothing has said why on stderr."""
    found = [json.loads(line) for line in ended.out.splitlines()]
    assert found, ended.err
    return found
