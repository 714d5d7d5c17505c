"""The store's requests on real S3 servers: what each is answered, whatever state the bucket is in."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from history_sink_worker.archive import grow
from history_sink_worker.archive.changed import Changed
from history_sink_worker.s3 import client
from history_sink_worker.s3.client import S3Store
from history_sink_worker.store import (
    Away,
    Blob,
    Corrupt,
    Delete,
    Get,
    Head,
    Info,
    List,
    Page,
    PastEnd,
    Put,
    Rejected,
    Reply,
    Request,
    Steps,
    run,
)
from stack.s3_server import S3Server
from stack.versitygw import VersitygwServer

pytestmark = pytest.mark.each_store

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=["lean", "boto3"])
def store(request: pytest.FixtureRequest, s3_server: S3Server, bucket: str) -> S3Store:
    """Either way to the store: nobody is to know which one it went."""
    return S3Store(
        endpoint=s3_server.endpoint,
        bucket=bucket,
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
        concurrency=20,
        lean=request.param == "lean",
    )


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A key that only this test uses."""
    return f"history/{request.node.name.translate(str.maketrans('[]/', '---'))}"


def put(store: S3Store, key: str, body: bytes, **meta: str) -> str:
    etag = store.perform(Put(key, body, meta))
    assert isinstance(etag, str)
    return etag


def read(store: S3Store, key: str) -> bytes:
    blob = store.perform(Get(key))
    assert isinstance(blob, Blob)
    return blob.body


@pytest.mark.parametrize("size", [0, 3, client.EXPECT_BYTES + 1])
def test_an_object_is_created_once(store: S3Store, key: str, size: int) -> None:
    assert put(store, key, b"x" * size)
    assert store.perform(Put(key, b"y" * size, {})) is None
    assert read(store, key) == b"x" * size


def test_only_the_version_that_is_there_is_replaced(store: S3Store, key: str) -> None:
    assert store.perform(Put(key, b"ghost", {}, if_match="0" * 32)) is None  # nothing is there
    first = put(store, key, b"first")
    second = store.perform(Put(key, b"second", {}, if_match=first))
    assert isinstance(second, str)
    assert second != first
    assert store.perform(Put(key, b"lost", {}, if_match=first)) is None
    assert read(store, key) == b"second"


def test_put_head_get_and_list_tell_the_same_of_an_object(store: S3Store, key: str) -> None:
    etag = put(store, key, b"body\n", **{"hs-messages": "7"})
    info = store.perform(Head(key))
    blob = store.perform(Get(key))
    page = store.perform(List(key))
    assert isinstance(info, Info)
    assert (info.size_bytes, info.etag, info.meta) == (5, etag, {"hs-messages": "7"})
    assert isinstance(blob, Blob)
    assert (blob.body, blob.info) == (b"body\n", info)
    assert isinstance(page, Page)
    entry = page.entries[0]
    assert (entry.key, entry.size_bytes, entry.etag) == (key, 5, etag)
    assert int(entry.modified) == info.modified


def info_of(store: S3Store, key: str) -> Info:
    info = store.perform(Head(key))
    assert isinstance(info, Info)
    return info


def uploads_left(server: S3Server, store: S3Store, key: str) -> int:
    return len(server.client().list_multipart_uploads(Bucket=store.bucket, Prefix=key).get("Uploads", ()))


@pytest.mark.parametrize("tail_bytes", [0, 5, 5 * MIB, 13 * MIB])
@pytest.mark.parametrize("base_bytes", [100, 3 * MIB, 10 * MIB, 11 * MIB + 1])
def test_an_object_grows_by_itself_and_a_tail(
    store: S3Store, s3_server: S3Server, key: str, base_bytes: int, tail_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grow, "COPY_AT_ONCE_BYTES", 10 * MIB)  # so that there are several parts
    monkeypatch.setattr(grow, "PART_BYTES", 5 * MIB)
    body, tail = os.urandom(base_bytes), os.urandom(tail_bytes)
    put(store, key, body, state="before")
    halves = [grow.known(tail[: tail_bytes // 2]), grow.known(tail[tail_bytes // 2 :])]
    run(grow.grow(key, info_of(store, key), halves, tail_bytes, {"state": "after"}), store.perform)
    blob = store.perform(Get(key))
    assert isinstance(blob, Blob)
    assert blob.body == body + tail
    assert blob.info.meta == {"state": "after"}
    assert not uploads_left(s3_server, store, key)


def test_a_stale_grow_changes_nothing_and_leaves_no_upload_behind(
    store: S3Store, s3_server: S3Server, key: str
) -> None:
    body = bytes(5 * MIB)
    stale = put(store, key, body)
    current = store.perform(Put(key, body + b"\n", {}, if_match=stale))
    for name in (key, f"{key}-missing"):
        for copies in ([(0, len(body))], []):  # without a copy the completion alone refuses
            with pytest.raises(Changed):
                run(grow.upload(name, stale, copies, [grow.known(b"lost\n")], {}), store.perform)
        assert not uploads_left(s3_server, store, name)
    assert info_of(store, key).etag == current
    assert store.perform(Head(f"{key}-missing")) is None


@pytest.mark.parametrize("trouble", [Corrupt("not its lines"), Away("an extent"), KeyboardInterrupt()], ids=type)
def test_a_tail_that_cannot_be_read_leaves_no_upload_behind_and_nothing_copied(
    store: S3Store, s3_server: S3Server, key: str, trouble: BaseException
) -> None:
    put(store, key, bytes(5 * MIB))
    asked: list[str] = []

    def perform(request: Request) -> Reply:
        asked.append(type(request).__name__)
        if request == Get("an extent"):
            raise trouble
        return store.perform(request)

    def read_extent() -> Steps[bytes]:
        yield Get("an extent")
        return b"never\n"

    pieces = [grow.known(bytes(grow.PART_BYTES)), read_extent()]
    with pytest.raises(type(trouble)):
        run(grow.grow(key, info_of(store, key), pieces, 2 * grow.PART_BYTES, {}), perform)
    assert asked == [
        "Begin",
        "Get",
        "Send",
        "Get",
        "Abort",
    ]  # first all of the base
    assert not uploads_left(s3_server, store, key)


@pytest.mark.parametrize(
    ("start", "end", "body"),
    [
        (0, None, b"0123456789"),
        (0, 10, b"0123456789"),
        (0, 2**64 - 1, b"0123456789"),
        (3, 7, b"3456"),
        (9, 11, b"9"),
        (4, None, b"456789"),
        (10, None, None),
        (10, 11, None),
        (2**63 - 1, 2**63, None),
        (2**64 - 2, 2**64 - 1, None),
    ],
)
def test_a_range_is_clamped_to_the_end(
    store: S3Store, key: str, start: int, end: int | None, body: bytes | None
) -> None:
    put(store, key, b"0123456789")
    answer = store.perform(Get(key, start, end))
    if body is None:
        assert answer == PastEnd()
    else:
        assert isinstance(answer, Blob)
        assert (answer.body, answer.info.size_bytes) == (body, 10)
    assert store.perform(Get(f"{key}-missing", start, end)) is None


def test_an_empty_object_has_no_range(store: S3Store, key: str) -> None:
    put(store, key, b"")
    assert read(store, key) == b""
    assert store.perform(Get(key, 0, 5)) == PastEnd()


def test_a_missing_object_has_no_head(store: S3Store, key: str) -> None:
    assert store.perform(Head(key)) is None


def test_a_content_encoding_is_not_undone(store: S3Store, s3_server: S3Server, key: str) -> None:
    s3_server.client().put_object(Bucket=store.bucket, Key=key, Body=b"\x1f\x8bnot really", ContentEncoding="gzip")
    assert read(store, key) == b"\x1f\x8bnot really"


def test_a_name_with_an_empty_part_is_refused_or_means_another(store: S3Store, s3_server: S3Server, key: str) -> None:
    """Names that workers write have none: a prefix that had one would not pass the probe."""
    if isinstance(s3_server, VersitygwServer):
        put(store, f"{key}//x", b"a path")
        assert read(store, f"{key}/x") == b"a path"
    else:
        with pytest.raises(Rejected, match="XMinioInvalidObjectName"):
            store.perform(Put(f"{key}//x", b"", {}))


def pages(store: S3Store, request: Callable[[str], List]) -> list[Page]:
    """All pages, asked for one after the other."""
    found: list[Page] = []
    while not found or found[-1].next_after is not None:
        page = store.perform(request((found[-1].next_after or "") if found else ""))
        assert isinstance(page, Page)
        found.append(page)
        assert len(found) < 20
    return found


def test_pages_together_list_every_key_once(store: S3Store, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE_KEYS", 2)
    keys = [f"{key}/{name}" for name in ("a", "b/c", "b/d", "é +&%", "😀")]
    for name in keys:
        put(store, name, b"")
    found = pages(store, lambda after: List(f"{key}/", after))
    assert [entry.key for page in found for entry in page.entries] == keys
    assert len(found) == 3
    behind = store.perform(List(f"{key}/", keys[3]))
    assert isinstance(behind, Page)
    assert [entry.key for entry in behind.entries] == keys[4:]
    assert store.perform(List(f"{key}/nothing")) == Page(())


def test_pages_together_list_every_folder_once(store: S3Store, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE_KEYS", 2)
    for name in ("a/1", "a/2", "b/1", "b/2", "b.c/1", "bare", "d/1", "d/2"):
        put(store, f"{key}/{name}", b"")
    found = pages(store, lambda after: List(f"{key}/", after, by_folder=True))
    folders = [name for page in found for name in page.folders]
    assert folders == [f"{key}/{name}/" for name in ("a", "b.c", "b", "d")]
    assert [entry.key for page in found for entry in page.entries] == [f"{key}/bare"]


def test_delete_takes_what_is_there(store: S3Store, key: str) -> None:
    put(store, f"{key}/1", b"")
    put(store, f"{key}/2", b"")
    store.perform(Delete((f"{key}/1", f"{key}/2", f"{key}/never-was")))
    assert store.perform(List(key)) == Page(())
    store.perform(Delete(()))


def test_of_16_writers_one_creates_the_object(store: S3Store, key: str) -> None:
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda n: store.perform(Put(key, b"%d" % n, {})), range(16)))
    winners = [number for number, answer in enumerate(answers) if answer is not None]
    assert len(winners) == 1
    assert read(store, key) == b"%d" % winners[0]


def test_a_forked_process_does_not_share_its_parents_connections(store: S3Store, key: str) -> None:
    bodies = {f"{key}/{name}": name.encode() * 100_000 for name in ("parent", "child")}
    for name, body in bodies.items():
        put(store, name, body)

    def reads_right(name: str) -> bool:
        return all(read(store, name) == bodies[name] for _ in range(20))

    child = os.fork()
    if child == 0:
        os._exit(0 if reads_right(f"{key}/child") else 1)
    assert reads_right(f"{key}/parent")
    assert os.waitpid(child, 0)[1] == 0
