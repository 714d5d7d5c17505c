"""A child process: its log in a file, its end bounded in time, and no life after ours."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

_LAUNCH = Path(__file__).with_name("launch.py")
_LOG_TAIL_BYTES = 4_000

REFUSAL = "HISTORY_SINK_STACK_REFUSED"
"""The environment's variable under which nothing may be started; its value says why."""


class NotReady(RuntimeError):
    """Something did not come up, or did not happen, in its time; the text carries the evidence."""


def wait_until(check: Callable[[], bool], *, timeout_seconds: float, what: str) -> None:
    """Return once `check()` is true.

    Raises:
        NotReady: it was not within `timeout_seconds`; `what` says what was waited for.
    """
    deadline = time.monotonic() + timeout_seconds
    while not check():
        if time.monotonic() > deadline:
            raise NotReady(f"{what}: not within {timeout_seconds:g} s")
        time.sleep(0.02)


def free_port() -> int:
    """A loopback TCP port that nobody listens on, from below the kernel's range for clients.

    A port of that range may be taken by any outgoing connection while its server is down; a client
    that keeps trying to reconnect to it can even connect to itself, and then the server cannot come
    back.
    """
    for port in random.sample(range(15_000, 32_000), 100):
        if port_is_free(port):
            return port
    raise NotReady("no free port on 127.0.0.1 in 100 tries between 15000 and 32000")


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the loopback TCP port `port` now."""
    with socket.socket() as listener:
        # As servers do: connections of the last server that linger in TIME_WAIT are no obstacle.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Child(Protocol):
    """What is asked of a child process; `subprocess.Popen` has more."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...


class Process:
    """A program that runs beside us, in a process group of its own; can be started again.

    Own group: Ctrl-C on the terminal reaches us alone, and we end the parts in the right order.
    Start it from a thread that lives as long as the child should: Linux kills the child when the
    *thread* that started it ends.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_path: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        """`environment` is the whole environment (default: ours); the log is appended to."""
        self.name = name
        self.log_path = log_path
        self.command = tuple(command)
        self._environment = dict(os.environ if environment is None else environment)
        self._directory = directory
        self._child: Child | None = None
        self._is_cleared = False
        self._log_start = 0

    @property
    def pid(self) -> int:
        """The process id of the last start."""
        return self._started().pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; minus the signal's number if a signal ended it."""
        return self._started().poll()

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def start(self, is_ready: Callable[[], bool], *, timeout_seconds: float = 60) -> None:
        """Start it and return once `is_ready()` is true.

        Raises:
            NotReady: it ended, or was not ready in time (then it is killed); tells its log.
        """
        self.launch()
        try:
            wait_until(
                lambda: not self.is_running or is_ready(),
                timeout_seconds=timeout_seconds,
                what=f"{self.name} to become ready",
            )
            if not self.is_running:
                raise NotReady(f"{self.name} ended with status {self.exit_status}")
        except NotReady as error:
            self.kill()
            raise NotReady(f"{error}; its log ends:\n{self.log_tail()}") from None
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Start it and return at once.

        Raises:
            RuntimeError: it runs already, or this environment may start nothing.
        """
        if reason := os.environ.get(REFUSAL):
            raise RuntimeError(f"{self.name}: {reason}")
        if self.is_running:
            raise RuntimeError(f"{self.name} is running already, as process {self.pid}")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._child = self._spawn(log)
        self._is_cleared = False

    def _spawn(self, log: BinaryIO) -> Child:
        return subprocess.Popen(
            # -I and -S: the launcher needs nothing installed, and so starts in 10 ms.
            [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), *self.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self._environment,
            cwd=self._directory,
            start_new_session=True,
        )

    def wait(self, *, timeout_seconds: float) -> int:
        """The exit status, once it has ended by itself.

        Raises:
            NotReady: it still runs after `timeout_seconds`.
        """
        try:
            return self._started().wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise NotReady(f"{self.name} still runs after {timeout_seconds:g} s") from None

    def stop(self, *, timeout_seconds: float = 20) -> None:
        """End it: SIGTERM, and SIGKILL to what is left of its group after `timeout_seconds`."""
        if self.is_running:
            self.resume()  # a stopped process would sleep through SIGTERM
            self._signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._started().wait(timeout_seconds)
        self.kill()

    def kill(self) -> None:
        """`kill -9` for it and what it started, as by a power cut; nothing if that was done."""
        if self._child is not None and not self._is_cleared:
            self._signal_group(signal.SIGKILL)
            self._child.wait()
            # Never again: the kernel may give the number to somebody else's process.
            self._is_cleared = True

    def pause(self) -> None:
        """SIGSTOP: it stays connected and answers nothing, until `resume`."""
        self._signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: go on after `pause`."""
        self._signal_group(signal.SIGCONT)

    def log(self) -> str:
        """What it has written since its last start."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def log_tail(self) -> str:
        """The end of `log()`."""
        return self.log()[-_LOG_TAIL_BYTES:]

    def _started(self) -> Child:
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._child

    def _signal(self, number: int) -> None:
        self._started().send_signal(number)

    def _signal_group(self, number: int) -> None:
        with suppress(ProcessLookupError):  # all of it is gone
            os.killpg(self.pid, number)  # start_new_session: the group has the child's number
