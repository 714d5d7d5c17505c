"""The archive on real S3 servers: any order and cut give the same bytes, a race has one winner, a base grows."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count, pairwise
from types import SimpleNamespace

import pytest

from history_sink.protocol.chain import START, split_lines, walk
from history_sink.protocol.log_end import LogEnd
from history_sink.protocol.pointer import Fault
from history_sink_worker.archive.names import Log
from history_sink_worker.s3.client import S3Store
from history_sink_worker.store import Copy, Corrupt, Put, Reply, Request, StoreError
from logbook import Logbook, some_lines
from stack.s3_server import S3Server

pytestmark = pytest.mark.each_store

Open = Callable[..., Logbook]
_sessions = count(1)


@pytest.fixture
def session() -> str:
    return f"session-{next(_sessions)}"


@pytest.fixture
def open_book(store: S3Store, session: str) -> Open:
    """A worker of its own each time: hints and facts are not shared."""
    return lambda settle_seconds=7200.0: Logbook(
        store.perform, time.time, Log("history/", session), settle_seconds=settle_seconds
    )


@pytest.mark.parametrize("seed", range(4))
def test_any_order_any_cut_any_repetition_gives_the_same_bytes(open_book: Open, seed: int) -> None:
    rng = random.Random(seed)
    history = some_lines(60, "m", 40)
    whole = b"".join(history)
    cuts = sorted({0, 60, *rng.sample(range(1, 60), 25)})
    saves = [*pairwise(cuts), (0, 60), (10, 45), *rng.sample(list(pairwise(cuts)), 5)]
    rng.shuffle(saves)

    def save(piece: tuple[int, int]) -> None:
        book = open_book(settle_seconds=4.0)
        book.save(history, *piece)
        if rng.random() < 0.3:
            book.compact()
        answer = book.read(0, 10**6)
        assert isinstance(answer, Fault) or whole.startswith(answer)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save, saves))
    book = open_book()
    assert book.read(0, 10**6) == whole
    book.save_whole(history)
    status = book.survey(history)
    assert (status.logs[0].base_bytes, status.logs[0].common, status.strays) == (len(whole), len(whole), ())


def test_four_writers_that_append_have_each_line_once_and_in_order(open_book: Open) -> None:
    streams = {f"w{number}": some_lines(12, f"writer-{number}") for number in range(4)}

    def write(writer: str) -> None:
        lines, book = streams[writer], open_book(settle_seconds=4.0)
        for number in (0, 1, 2, 2, 3, 5, 4, *range(6, 12), 3):  # one comes early, some again
            position = sum(map(len, lines[:number]))
            assert book.append(writer, position, lines[number : number + 1]).outcome != "diverged"
            if number % 4 == 3:
                book.compact()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, streams))
    book = open_book()
    book.compact()
    found = book.read(0, 10**6)
    assert isinstance(found, bytes)
    for lines in streams.values():
        assert [line for line in split_lines(found) if line in lines] == lines
    status = book.survey()
    assert (len(status.logs), status.strays, status.pending) == (1, (), 0)
    assert len(found) == sum(len(line) for lines in streams.values() for line in lines)


@pytest.mark.parametrize("after_a_fold", [False, True])
def test_of_sixteen_that_append_after_one_end_one_is_stored(open_book: Open, after_a_fold: bool) -> None:
    history = some_lines(3, "shared")
    open_book().save(history, 0, 3)
    if after_a_fold:
        open_book().compact()
    end = [START, *walk(START, history)][-1]

    def race(number: int) -> tuple[str, LogEnd | None]:
        verdict = open_book().append(f"racer{number}", None, some_lines(1, f"racer-{number}"), after=end)
        return verdict.outcome, verdict.end

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(race, range(16)))
    assert [outcome for outcome, _ in found].count("stored") == 1
    assert {outcome for outcome, _ in found} == {"stored", "conflict"}
    assert {told for _, told in found} == {open_book().survey().logs[0].end}


def test_sixteen_writers_that_part_are_one_main_line_and_fifteen_strays(open_book: Open) -> None:
    shared = some_lines(3, "shared")
    histories = [[*shared, *some_lines(3, f"writer-{number}")] for number in range(16)]
    open_book().save(histories[0], 0, 3)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda history: (history, open_book().save(history, 3, 6)), histories))
    book = open_book()
    outcomes = [verdict.outcome for _, verdict in found]
    assert (outcomes.count("stored"), outcomes.count("diverged")) == (1, 15)
    for history, verdict in found:
        assert book.read(key=verdict.key) == b"".join(history)
    assert len(book.survey().strays) == 15


def test_two_writers_that_begin_differently_both_stay_whole(open_book: Open) -> None:
    one, two = some_lines(5, "one"), some_lines(5, "two")
    assert open_book().save_whole(one).outcome == "stored"
    parted = open_book().save_whole(two)
    assert parted.outcome == "diverged"
    assert open_book().read() == b"".join(one)
    assert open_book().read(key=parted.key) == b"".join(two)


@pytest.mark.parametrize("size_bytes", [40, 256 * 1024], ids=["written whole", "grown in place"])
def test_a_fold_leaves_the_time_of_the_last_write(open_book: Open, size_bytes: int) -> None:
    history = some_lines(30, "m", size_bytes)
    book = open_book()
    book.save(history, 0, 24)
    book.save_each(history, 24)
    before = book.survey().logs[0].last_write
    time.sleep(1.1)  # some servers keep whole seconds
    assert book.compact().folded_bytes
    status = open_book().survey(history).logs[0]
    assert status.base_bytes == len(b"".join(history))
    assert status.last_write == pytest.approx(before, abs=0.002)


def test_a_large_base_grows_in_place_and_keeps_its_chain(open_book: Open) -> None:
    history = some_lines(90, "m", 128 * 1024)
    book = open_book()
    assert book.save_whole(history[:70]).outcome == "stored"
    book.save_each(history[:80], 70)
    assert book.compact().folded_bytes == len(b"".join(history[70:80]))
    assert (book.requests.get("Copy"), book.requests.get("Send"), book.requests.get("Complete")) == (1, 1, 1)
    assert book.save(history, 60, 90).outcome == "stored"
    book.compact()
    whole = b"".join(history)
    end = book.survey(history).logs[0]
    assert (end.bytes, end.base_bytes, end.common, end.messages) == (len(whole), len(whole), len(whole), 90)
    ranges = [book.read(at, at + 4 * 1024 * 1024) for at in range(0, len(whole), 4 * 1024 * 1024)]
    assert b"".join(part for part in ranges if isinstance(part, bytes)) == whole


def test_a_fold_that_takes_too_long_is_given_up_and_made_anew(
    store: S3Store, s3_server: S3Server, session: str
) -> None:
    history = some_lines(24, "m", 256 * 1024)
    slept_seconds = 0.0

    def perform(request: Request) -> Reply:
        nonlocal slept_seconds
        if isinstance(request, Copy):
            slept_seconds += 1800
        return store.perform(request)

    log = Log("history/", session)
    book = Logbook(perform, lambda: time.time() + slept_seconds, log)
    book.save(history, 0, 22)
    book.save_each(history, 22)
    assert book.compact().folded_bytes == 0
    assert book.requests.keys() >= {"Begin", "Send", "Copy", "Abort"}
    assert not s3_server.client().list_multipart_uploads(Bucket=store.bucket, Prefix=log.root).get("Uploads")
    assert book.read(len(history[0]), 8 * len(history[0])) == b"".join(history[1:8])
    assert Logbook(store.perform, time.time, log).compact().folded_bytes == 2 * len(history[0])


def test_a_request_that_was_signed_long_ago_is_refused(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a fold's last request is not under way for longer than it is given (`Context.is_in_time`)."""
    made = Put("history/early", b"", {})
    clock = SimpleNamespace(now=lambda zone: datetime.now(zone) - timedelta(minutes=16))
    with monkeypatch.context() as patch:
        patch.setattr("history_sink_worker.s3.lean.datetime", clock)
        with pytest.raises(StoreError, match="RequestTimeTooSkewed"):
            store.perform(made)
    assert store.perform(made)


@pytest.mark.parametrize("size_bytes", [0, 256 * 1024], ids=["written whole", "copied"])
def test_of_racing_compactions_one_wins_and_the_others_leave_nothing(
    open_book: Open, store: S3Store, s3_server: S3Server, session: str, size_bytes: int
) -> None:
    history = some_lines(30, "m", size_bytes)
    open_book().save(history, 0, 24)
    open_book().save_each(history, 24)
    with ThreadPoolExecutor(8) as pool:
        folded = list(pool.map(lambda _: open_book().compact().folded_bytes, range(8)))
    whole = b"".join(history)
    assert sum(folded) == len(b"".join(history[24:]))
    status = open_book().survey(history).logs[0]
    assert (status.base_bytes, status.common) == (len(whole), len(whole))
    left = s3_server.client().list_multipart_uploads(Bucket=store.bucket, Prefix=f"history/{session}/")
    assert "Uploads" not in left


def test_a_settled_log_is_one_object(open_book: Open, store: S3Store, session: str, s3_server: S3Server) -> None:
    history = some_lines(50)
    book = open_book(settle_seconds=1.0)
    book.save_each(history)
    deadline = time.monotonic() + 20
    while book.compact().again_in_seconds is not None and time.monotonic() < deadline:
        time.sleep(0.5)
    listed = s3_server.client().list_objects_v2(Bucket=store.bucket, Prefix=f"history/{session}/")["Contents"]
    assert [item["Key"] for item in listed] == [book.log.base]
    assert book.read() == b"".join(history)


@pytest.mark.parametrize("size_bytes", [100, 300_000], ids=["small", "copied"])
def test_a_base_that_the_older_sink_wrote_is_adopted_and_extended(
    open_book: Open, store: S3Store, size_bytes: int
) -> None:
    history = some_lines(40, "m", size_bytes)
    book = open_book()
    store.perform(Put(book.log.base, b"".join(history[:30]), {}))
    assert book.save(history, 28, 40).outcome == "stored"
    book.compact()
    assert book.survey(history).logs[0].common == len(b"".join(history))


def test_a_foreign_overwrite_is_reported_and_not_taken_for_the_truth(
    open_book: Open, store: S3Store, s3_server: S3Server
) -> None:
    history = some_lines(10)
    book = open_book()
    book.save_whole(history)
    client, bucket = s3_server.client(), store.bucket
    meta = client.head_object(Bucket=bucket, Key=book.log.base)["Metadata"]
    client.put_object(Bucket=bucket, Key=book.log.base, Body=b"{}\n", Metadata=meta)
    with pytest.raises(Corrupt, match="overwritten by a foreign writer"):
        book.save(history, 5, 10)


def test_lines_are_cut_at_newlines_only() -> None:
    body = '{"a":"\u2028\u0085\x0b\x0c\r"}\n{}\n'.encode()
    assert split_lines(body) == [body[:-3], b"{}\n"]
