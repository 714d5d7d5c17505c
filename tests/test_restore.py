"""A log comes back whole and proven, or there is no file at all."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from history_sink.client.ranges import (
    RANGE_BYTES,
    ChainMeter,
    Faulted,
    Mismatch,
    NotFound,
    Resolve,
    Source,
    create_whole,
    find_source,
    read_source,
    write_out,
)
from history_sink.protocol.chain import START, shorten, walk
from history_sink.protocol.pointer import Fault, PointerHandle
from history_sink.protocol.status import LogStatus, Status, StrayStatus

LINES = [b'{"n":%d}\n' % number for number in range(100)] + [b'{"big":"%s"}\n' % (b"x" * (RANGE_BYTES + 1))]
LOG = b"".join(LINES)
CHAIN16 = shorten([*walk(START, LINES)][-1].chain)
KEY = "history/s/history.jsonl"
SOURCE = Source("bucket", KEY, len(LOG), CHAIN16)


def resolve(handle: PointerHandle) -> bytes | Fault:
    """A store that has LOG."""
    assert handle.byte_range is not None
    start, end = handle.byte_range
    return LOG[start:end]


def after(*answers: bytes | Fault) -> Callable[[PointerHandle], bytes | Fault]:
    """A store that gives these answers, and then has LOG."""
    left = list(answers)
    return lambda handle: left.pop(0) if left else resolve(handle)


def restore(
    resolve: Resolve,
    source: Source,
    path: Path,
    *,
    force: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> ChainMeter:
    with create_whole(path, force) as file:
        return write_out(resolve, source, file, advance)


def test_a_log_is_restored_byte_for_byte_in_ranges(tmp_path: Path) -> None:
    path, done = tmp_path / "log.jsonl", list[int]()
    meter = restore(resolve, SOURCE, path, advance=done.append)
    assert path.read_bytes() == LOG
    assert (meter.messages, meter.size_bytes, meter.chain16) == (len(LINES), len(LOG), CHAIN16)
    assert len(done) == 2
    assert sum(done) == len(LOG)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("piece_bytes", [1, 7, 4096])
def test_the_chain_does_not_depend_on_how_the_bytes_come(piece_bytes: int) -> None:
    body, meter = b"".join(LINES[:100]), ChainMeter()
    for start in range(0, len(body), piece_bytes):
        meter.feed(body[start : start + piece_bytes])
    assert meter.chain16 == shorten([*walk(START, LINES[:100])][-1].chain)
    assert meter.messages == 100


@pytest.mark.parametrize(
    ("store", "error"),
    [
        (after(LOG[1 : RANGE_BYTES + 1]), Mismatch),  # as long, and other bytes: only the chain tells
        (after(b"short"), Mismatch),
        (after(LOG[:RANGE_BYTES], Fault("denied", "no")), Faulted),
    ],
)
def test_what_is_not_the_log_leaves_no_file(
    store: Callable[[PointerHandle], bytes | Fault], error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error):
        restore(store, SOURCE, tmp_path / "log.jsonl")
    assert os.listdir(tmp_path) == []


def test_a_store_that_is_away_for_a_moment_is_asked_again() -> None:
    away, paused = Fault("backend_error", "away"), list[float]()
    assert b"".join(read_source(after(away, away), SOURCE, paused.append)) == LOG
    assert len(paused) == 2
    with pytest.raises(Faulted, match="away"):
        list(read_source(lambda handle: away, SOURCE, paused.append))


def test_a_file_that_is_there_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        restore(resolve, SOURCE, path)
    assert path.read_bytes() == b"mine"
    restore(resolve, SOURCE, path, force=True)
    assert path.read_bytes() == LOG
    assert os.listdir(tmp_path) == ["log.jsonl"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_comes_meanwhile_is_kept(has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_links:
        monkeypatch.setattr(os, "link", refuse_to_link)
    path = tmp_path / "log.jsonl"
    with pytest.raises(FileExistsError), create_whole(path) as file:  # noqa: PT012  # it comes in the midst
        file.write(b"restored")
        path.write_bytes(b"mine")
    assert path.read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["log.jsonl"]


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refuse_to_link)
    restore(resolve, SOURCE, tmp_path / "log.jsonl")
    assert (tmp_path / "log.jsonl").read_bytes() == LOG


def refuse_to_link(source: str, target: str) -> None:
    raise PermissionError(1, "Operation not permitted")


BRANCH = "000000000009-00000000000000aa"
STRAY = "history/s/tail/000000000009-00000000000000aa~00000000000000bb.jsonl"
STATUS = Status(
    "bucket",
    "history/",
    "s",
    logs=(
        LogStatus(None, KEY, 1, 10, "aa", 10, 0.0),
        LogStatus(BRANCH, f"history/s/branches/{BRANCH}/history.jsonl", 2, 20, "cc", 20, 0.0),
    ),
    strays=(StrayStatus(STRAY, 9, 30, 2),),
)


def test_main_log_branch_and_stray_are_found_by_what_the_store_says() -> None:
    assert find_source(STATUS) == Source("bucket", KEY, 10, "aa")
    assert find_source(STATUS, branch=BRANCH).end == 20
    assert find_source(STATUS, stray=STRAY) == Source("bucket", STRAY, 30, "00000000000000bb")


def test_what_is_not_there_is_named_with_what_there_is() -> None:
    with pytest.raises(NotFound, match=f"no branch 1-2; it has the main log, {BRANCH}"):
        find_source(STATUS, branch="1-2")
    with pytest.raises(NotFound, match=f"no stray x; it has {STRAY}"):
        find_source(STATUS, stray="x")
    with pytest.raises(NotFound, match="no session s in the store"):
        find_source(Status("bucket", "history/", "s"))
