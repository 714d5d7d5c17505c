"""Debian's podman in place of Docker's engine: storage, networks and socket in a directory of ours."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stack.processes import NotReady, Process

# runc, files and no cgroups of systemd's: it runs inside of a container, too, and on a machine without systemd.
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[network]
network_backend = "netavark"
network_config_dir = "{directory}/networks"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
tmp_dir = "{directory}/run"
"""

_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{directory}/storage"
runroot = "{directory}/run"
"""

_REGISTRIES = 'unqualified-search-registries = ["docker.io"]\n'  # what a name without one means; none is asked

_COMMAND_TIMEOUT_SECONDS = 300


class Podman:
    """One engine that knows nothing of another's containers and images; as root."""

    def __init__(self, directory: Path) -> None:
        """`directory`: short, for the path of a socket in it may have 108 bytes."""
        self._directory = directory
        self._socket = directory / "podman.sock"
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in (("containers", _CONTAINERS), ("storage", _STORAGE), ("registries", _REGISTRIES)):
            (directory / f"{name}.conf").write_text(text.format(directory=directory))
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "CONTAINERS_CONF": str(directory / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(directory / "registries.conf"),
        }
        self._service = Process(
            "podman",
            ["podman", "system", "service", "--time=0", self.url],
            log_path=directory / "podman.log",
            environment=self._environment,
        )

    @property
    def url(self) -> str:
        """For DOCKER_HOST."""
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Its socket takes requests when this returns."""
        self._service.start(self._socket.exists)

    def stop(self) -> None:
        """All containers, networks, images and volumes go, then the engine, and then its directory."""
        try:
            self("rm", "--all", "--force", "--time=0")
            self("system", "reset", "--force")
        finally:
            self._service.stop(timeout_seconds=5)
        shutil.rmtree(self._directory)

    def __call__(self, *arguments: str, timeout_seconds: float = _COMMAND_TIMEOUT_SECONDS) -> str:
        """What `podman ARGUMENTS` prints. Raises `NotReady` with its last words."""
        done = self.run(*arguments, timeout_seconds=timeout_seconds)
        if done.returncode != 0:
            raise NotReady(f"podman {' '.join(arguments)}: status {done.returncode}\n{done.stderr[-4000:]}")
        return done.stdout

    def run(
        self, *arguments: str, timeout_seconds: float = _COMMAND_TIMEOUT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """The same, however it ends."""
        return subprocess.run(
            ["podman", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )

    def states(self) -> Mapping[str, str]:
        """Of each container, by name, such as "Up 3 seconds (starting)"."""
        lines = self("ps", "--all", "--format", "{{.Names}}\t{{.Status}}").splitlines()
        return dict(line.split("\t", 1) for line in lines)

    def check_health(self, container: str) -> bool:
        """Run its health check once. Docker does that by itself; podman leaves it to systemd's timers."""
        return self.run("healthcheck", "run", container, timeout_seconds=60).returncode == 0

    def check_all_that_start(self) -> None:
        """Run the checks of those of which it is not yet known whether they are well."""
        for name, state in self.states().items():
            if "(starting)" in state:
                self.check_health(name)
