"""The files of a restore: written beside their places, proven, and only then put there, all or none."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from hashlib import file_digest
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from history_sink import BadMessage, HistorySink, LogStatus
from history_sink_agents.formats.manifest import cut_lines, join_lines
from history_sink_agents.restore.archive import SinkArchive
from history_sink_agents.restore.errors import Refused
from history_sink_agents.restore.plan import Item

_PREFIX, _SUFFIX = ".history-sink-", ".part"

LEFT_SECONDS = 86_400.0
"""A piece that nobody has touched for so long is of a restore that was killed, and goes with the next one."""

Edit = Callable[[bytes], bytes]
"""What becomes of a first line, or of a document."""


def find_there(archive: SinkArchive, home: Path, item: Item, edit: Edit | None = None) -> bool:
    """Whether the file is there already: these bytes, and perhaps lines behind them that are not archived yet.

    Or what `edit` makes of them.

    Raises `Refused` where another one has its place.
    """
    path = home / item.relative
    check_folders(home, item.relative)
    if not os.path.lexists(path):
        return False
    if path.is_symlink() or not path.is_file():
        raise Refused(f"{path} is there, and is no regular file")
    if item.log is None:
        is_same = path.stat().st_size == 0
    else:
        is_same = holds_log(archive.sink, path, item.log, is_whole=item.entry.kind == "whole")
        is_same = is_same or _holds_opened(archive, path, item, item.log, edit)
    if not is_same:
        raise Refused(f"{path} is there with other bytes ({path.stat().st_size}); nothing is overwritten: move it away")
    return True


def holds_log(sink: HistorySink, path: Path, log: LogStatus, *, is_whole: bool) -> bool:
    """Whether a file has the bytes of a log, by their chain; one that grows may have more behind them."""
    try:
        with path.open("rb") as file:
            end = sink.measure(cut_lines(file.read()) if is_whole else _read_first(file, log.bytes))
    except BadMessage:  # a line that no log can have
        return False
    return (end.bytes, end.chain16) == (log.bytes, log.chain)


def _holds_opened(archive: SinkArchive, path: Path, item: Item, log: LogStatus, edit: Edit | None) -> bool:
    """Whether a file has what a restore would write: of opened or edited lines, the chain is not that of the log."""
    lines = archive.read_log(item.session, log)
    with path.open("rb") as file:
        if item.entry.kind == "whole":
            return file.read() == _make_whole(b"".join(lines), item, edit)
        if edit:
            lines = chain(map(edit, islice(lines, 1)), lines)
        return all(file.read(len(line)) == line for line in lines)


def _make_whole(log: bytes, item: Item, edit: Edit | None) -> bytes:
    document = join_lines(log, item.entries)
    return edit(document) if edit else document


def _read_first(file: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    for line in file:
        if size_bytes <= 0:
            return
        yield line
        size_bytes -= len(line)


def check_folders(home: Path, relative: str) -> None:
    """Raise `Refused` where a folder on the way below `home` is a link: it may lead anywhere."""
    folder = home
    for name in relative.split("/")[:-1]:
        folder = folder / name
        if folder.is_symlink():
            raise Refused(f"{folder} is a link; restore follows none below {home}")
        if folder.exists() and not folder.is_dir():
            raise Refused(f"{folder} is there, and is no folder")


class Writer:
    """Writes items; nothing is in its place until `publish`. As a context manager it leaves no piece of one behind."""

    def __init__(self, archive: SinkArchive, home: Path, advance: Callable[[int], None]) -> None:
        self._archive = archive
        self._home = home
        self._advance = advance
        self._ready: list[tuple[Path, Path]] = []
        self._pieces = ExitStack()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.close()
        for folder in {path.parent for _, path in self._ready}:
            _sweep(folder)

    def write(self, item: Item, edit: Edit | None = None) -> tuple[int, str]:
        """Write one beside its place. Returns its size in bytes and their hash. Raises `Mismatch`, `OSError`."""
        path = self._home / item.relative
        check_folders(self._home, item.relative)
        _make_folder(path.parent)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=_PREFIX, suffix=_SUFFIX)  # 0600
        self._pieces.callback(Path(name).unlink, missing_ok=True)
        with os.fdopen(number, "w+b") as file:
            self._fill(file, item)
            if item.entry.kind == "whole" and item.log:
                _replace(file, _make_whole(_read_all(file), item, edit))
            elif edit and item.log:
                first = file.readline()
                _replace(file, edit(first) + file.read())
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            digest = file_digest(file, "sha256").hexdigest()
            size_bytes = file.tell()
        self._ready.append((Path(name), path))
        return size_bytes, digest

    def publish(self) -> None:
        """Put all in their places, or none. Raises `Refused` where something has come there meanwhile."""
        done: list[Path] = []
        try:
            for piece, path in self._ready:
                os.utime(piece)  # agents sweep what was not touched for long
                _put(piece, path)
                done.append(path)
        except BaseException:
            for path in done:
                path.unlink(missing_ok=True)
            raise

    def _fill(self, file: BinaryIO, item: Item) -> None:
        if item.log is None:
            return
        for piece in self._archive.read_log(item.session, item.log):
            file.write(piece)
            self._advance(len(piece))
        file.seek(0)


def _make_folder(folder: Path) -> None:
    """With those above it that are missing, each for its owner alone."""
    for each in reversed([folder, *folder.parents]):
        each.mkdir(mode=0o700, exist_ok=True)


def _put(piece: Path, path: Path) -> None:
    try:
        os.link(piece, path)  # unlike a rename, it never takes the place of a file that came meanwhile
    except FileExistsError:
        raise Refused(f"{path} has come meanwhile; nothing was overwritten") from None
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise Refused(f"{path} has come meanwhile; nothing was overwritten") from None
        os.rename(piece, path)


def _sweep(folder: Path) -> None:
    for piece in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            if time.time() - piece.lstat().st_mtime > LEFT_SECONDS:
                piece.unlink()


def _read_all(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _replace(file: BinaryIO, body: bytes) -> None:
    file.seek(0)
    file.write(body)
    file.truncate()
