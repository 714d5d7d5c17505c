"""The folder of one index: its name, how large it is, and whether it is no first build any more."""

from pathlib import Path
from uuid import uuid4

from history_sink_worker.search.fields import SCHEMA_VERSION

_LEVEL = "level"
"""A file in the folder: the index has been level with the bucket once."""
_DROPPED = "dropped"
"""Another: logs were removed from the index, and their words may still be in its other files."""


def new_folder(home: Path) -> Path:
    """Where an index goes that is begun now. It is not made yet."""
    return home / f"index-{SCHEMA_VERSION}-{uuid4().hex[:8]}"


def is_of_this_version(folder: Path) -> bool:
    """Whether there is an index that this version of the code can read."""
    return folder.name.startswith(f"index-{SCHEMA_VERSION}-") and (folder / "meta.json").exists()


def is_level(folder: Path) -> bool:
    """Whether the index has been level with the bucket once."""
    return (folder / _LEVEL).exists()


def mark_level(folder: Path) -> None:
    """Note that the index is level with the bucket."""
    (folder / _LEVEL).touch(0o600)


def has_dropped(folder: Path) -> bool:
    """Whether logs were removed from the index."""
    return (folder / _DROPPED).exists()


def mark_dropped(folder: Path) -> None:
    """Note that logs are being removed from the index: before they are, as a kill may come behind that."""
    (folder / _DROPPED).touch(0o600)


def measure_folder(folder: Path) -> int:
    """The bytes of the index's files."""
    return sum(_measure(path) for path in folder.iterdir())


def _measure(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a segment that was just merged away
        return 0
