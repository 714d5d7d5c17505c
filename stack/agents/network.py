"""A network of its own for agents, with loopback and nothing else, and the scripted model in it. Needs root."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stack.processes import NotReady, Process

_PORT = 8321
_REPOSITORY = Path(__file__).parents[2]


class AgentNetwork:
    """A network namespace. Names are looked up nowhere, else programs would wait for an answer for up to a minute."""

    url = f"http://127.0.0.1:{_PORT}"

    def __init__(self, folder: Path) -> None:
        """`folder` is for the model's logs."""
        self.name = f"history-sink-{os.getpid()}"
        self.requests_path = folder / "requests.jsonl"
        self._resolver = Path("/etc/netns") / self.name / "resolv.conf"
        command = [sys.executable, "-m", "stack.agents.model", str(_PORT), str(self.requests_path)]
        self.process = Process("model", [*self._enter, *command], log_path=folder / "model.log", directory=_REPOSITORY)

    def start(self) -> None:
        """Make the namespace, and start the model. Raises `NotReady`."""
        if os.geteuid() != 0:
            raise NotReady("the agents run in a network namespace of their own, which only root can make")
        self._resolver.parent.mkdir(parents=True, exist_ok=True)
        self._resolver.write_text("nameserver 127.0.0.1\n")
        subprocess.run(["ip", "netns", "add", self.name], check=True, timeout=30)
        subprocess.run([*self._enter, "ip", "link", "set", "lo", "up"], check=True, timeout=30)
        self.requests_path.touch()
        self.process.start(self._is_up)

    def stop(self) -> None:
        """End the model, and remove the namespace."""
        self.process.stop()
        subprocess.run(["ip", "netns", "delete", self.name], check=False, timeout=30)
        self._resolver.unlink(missing_ok=True)
        self._resolver.parent.rmdir()

    def run(
        self,
        command: Sequence[str | Path],
        home: Path,
        folder: Path,
        environment: Mapping[str, str],
        *,
        has_input: bool = False,
    ) -> "subprocess.Popen[str]":
        """Start a program there, with a home and a working directory, and nothing of our environment but PATH."""
        for each in (home, folder):
            each.mkdir(parents=True, exist_ok=True)
        base = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        return subprocess.Popen(
            [*self._enter, *map(str, command)],
            cwd=folder,
            env={**base, **environment},
            stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def read_requests(self) -> list[Any]:
        """What the model was asked, the oldest first."""
        return [json.loads(line)["body"] for line in self.requests_path.read_text().splitlines()]

    @property
    def _enter(self) -> list[str]:
        return ["ip", "netns", "exec", self.name]

    def _is_up(self) -> bool:
        asked = f"import urllib.request as u; u.urlopen('{self.url}/v1/models', timeout=2)"
        done = subprocess.run([*self._enter, sys.executable, "-c", asked], capture_output=True, check=False, timeout=30)
        return done.returncode == 0
