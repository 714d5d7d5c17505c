"""What was restored on this machine: so that who watches the files goes on with their logs and archives none twice.

One JSON line a file, in ``restored.jsonl`` of the state folder. Like all state on disk it is a hint: without it a
restored file is compared with the store once more, and one with a name of its own is archived a second time.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from hashlib import file_digest
from pathlib import Path

from history_sink_agents.notes import NoteFile

_FILE = "restored.jsonl"


@dataclass(frozen=True, slots=True)
class Restored:
    """The first `size_bytes` of the file at `path`, whose hash is `sha256`, are the log `branch` of `session`.

    `path` is absolute. `branch` None is the main log.
    """

    path: str
    session: str
    branch: str | None
    size_bytes: int
    sha256: str


def find_state_folder(environ: Mapping[str, str], user_home: Path) -> Path:
    """Where this machine's programs keep their hints; it need not exist."""
    given = environ.get("XDG_STATE_HOME", "")
    return (Path(given).absolute() if given else user_home / ".local" / "state") / "history-sink"


def find_own_state_folder(environ: Mapping[str, str]) -> Path:
    """The same for the user of this process; in a container whose user has no home, one that cannot be written."""
    try:
        home = Path.home()
    except RuntimeError:
        home = Path("/nonexistent")
    return find_state_folder(environ, home)


def remember(folder: Path, restored: Restored) -> None:
    """Note one file. Raises `OSError`."""
    NoteFile(folder / _FILE).append(asdict(restored))


def recall(folder: Path) -> dict[str, Restored]:
    """All that was noted, the last of each path, by paths. A damaged line is passed over; no file is no note."""
    found: dict[str, Restored] = {}
    for note in NoteFile(folder / _FILE).read_new():
        with suppress(KeyError, TypeError):
            each = Restored(**{field.name: note[field.name] for field in fields(Restored)})
            found[each.path] = each
    return found


def is_as_restored(path: Path, note: Restored) -> bool:
    """Whether a file is what the restore of `note` has written, and nothing more. Raises `OSError`."""
    with path.open("rb") as file:
        return (
            os.fstat(file.fileno()).st_size == note.size_bytes
            and file_digest(file, "sha256").hexdigest() == note.sha256
        )
