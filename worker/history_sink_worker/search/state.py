"""What the writer of an index tells its readers, in a file beside it: they may be other processes.

<dir>/                     mode 0700: an index is as secret as the transcripts
<dir>/state.json           this, written anew about once a second
<dir>/wishes               a pipe: readers name logs here that they want looked at now
<dir>/index-<version>-…/   the index that is asked, and one that is being built beside it
"""

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

STATE, WISHES, LOCK = "state.json", "wishes", "lock"


@dataclass(frozen=True, slots=True)
class State:
    """Times are Unix seconds. `folder` is the index that is to be asked, None where there is none yet.

    `beat_at` is when the writer last wrote this. `behind` logs are known to have what the index lacks, the first of
    them since `behind_since`. `compared_at`: when all of the bucket was last compared; None: not since the writer
    began. `taken` messages were indexed by this process. `purge_since`: since when the files hold words of sessions
    that were deleted; None: they hold none.
    """

    folder: str | None = None
    beat_at: float = 0.0
    newest_write: float = 0.0
    behind: int = 0
    behind_since: float | None = None
    is_rebuilding: bool = True
    compared_at: float | None = None
    messages: int = 0
    taken: int = 0
    sealed: int = 0
    index_bytes: int = 0
    purge_since: float | None = None

    def write(self, home: Path) -> None:
        """Take the place of the file, whole."""
        new = home / f"{STATE}.new"
        new.write_text(json.dumps(asdict(self)))
        new.replace(home / STATE)

    @classmethod
    def read(cls, home: Path) -> Self | None:
        """None where nothing can be read."""
        try:
            value = json.loads((home / STATE).read_text())
            return cls(**{name: value[name] for name in cls.__slots__})
        except (OSError, ValueError, KeyError, TypeError):
            return None


class InUse(Exception):
    """Another worker writes the index in this folder."""


def take_home(home: Path) -> int:
    """Make the folder this process's, until it ends however it ends. Raises `InUse`, and `OSError`.

    Returns the descriptor of the lock: closed with the process, and by nobody before.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    lock = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a process's, which its children do not inherit
    except OSError:
        os.close(lock)
        raise InUse(f"another worker keeps its index in {home}") from None
    return lock


class Wishes:
    """The writer's end of the pipe."""

    def __init__(self, home: Path) -> None:
        path = home / WISHES
        with suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # Read and write: it never ends because the last reader has gone.
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def take(self) -> list[str]:
        """The logs that readers want looked at, as ``session branch``."""
        with suppress(BlockingIOError):
            return os.read(self._pipe, 65536).decode("ascii", "replace").splitlines()
        return []

    def close(self) -> None:
        os.close(self._pipe)


def wish(home: Path, session: str, branch: str | None) -> None:
    """Ask the writer to look at a log now. Nothing happens where there is none, or it is full of wishes."""
    with suppress(OSError):
        pipe = os.open(home / WISHES, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(pipe, f"{session} {branch or ''}\n".encode())
        finally:
            os.close(pipe)
