"""The real Docker Compose, in front of podman."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stack.containers.podman import Podman
from stack.go_programs import DOCKER_COMPOSE
from stack.processes import NotReady


class Compose:
    """`docker compose` with these files, and with a .env of ours."""

    def __init__(self, podman: Podman, files: Sequence[Path], values: Mapping[str, str], directory: Path) -> None:
        self._podman = podman
        env = directory / ".env"
        env.touch(mode=0o600)
        env.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        chosen = [word for file in files for word in ("--file", str(file))]
        self._command = [str(DOCKER_COMPOSE.ensure()), *chosen, "--env-file", str(env)]
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "DOCKER_HOST": podman.url}

    def __call__(self, *arguments: str, timeout_seconds: float = 240) -> str:
        """What it prints. Raises `NotReady` with its last words."""
        return self.run(*arguments, timeout_seconds=timeout_seconds).stdout

    def run(self, *arguments: str, timeout_seconds: float = 240) -> subprocess.CompletedProcess[str]:
        """What it says, on both outputs. Raises `NotReady` with its last words."""
        with self._checking_health():
            done = subprocess.run(
                [*self._command, *arguments],
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=timeout_seconds,
                check=False,
            )
        if done.returncode != 0:
            raise NotReady(f"docker compose {' '.join(arguments)}: status {done.returncode}\n{done.stderr[-4000:]}")
        return done

    def up(self, workers: int) -> None:
        """Everything runs when this returns; nothing is pulled, nor built."""
        self("up", "--detach", "--no-build", "--pull=never", f"--scale=worker={workers}")

    def containers(self, service: str) -> list[dict[str, Any]]:
        """Those of a service, ended ones too."""
        lines = self("ps", "--all", "--format", "json", service).splitlines()
        return [json.loads(line) for line in lines]

    def names(self, service: str) -> list[str]:
        """Of those that run."""
        return sorted(each["Name"] for each in self.containers(service) if each["State"] == "running")

    @contextmanager
    def _checking_health(self) -> Iterator[None]:
        # What waits for "service_healthy" waits for somebody who looks.
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(2):
                with suppress(NotReady, subprocess.TimeoutExpired):  # of one that goes away meanwhile
                    self._podman.check_all_that_start()

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
