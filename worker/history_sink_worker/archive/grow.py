"""Replace a base by itself and what follows it. What follows is streamed, and the store copies what is there.

A multipart upload (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html): at most 10,000 parts, of 5 MiB
at least, but for the last. R2 also wants all parts but the last to be of one size, and the last to be no larger
(https://developers.cloudflare.com/r2/objects/multipart-objects/).
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain

from history_sink_worker.archive.changed import Changed
from history_sink_worker.store import (
    Abort,
    Begin,
    Blob,
    Complete,
    Copy,
    Get,
    Info,
    Meta,
    PastEnd,
    Put,
    Send,
    Steps,
    StoreError,
)

COPY_FROM_BYTES = 5 * 1024 * 1024
"""From this size on the store copies a base. A smaller one is read and written whole, as S3 takes no smaller part."""
COPY_AT_ONCE_BYTES = 256 * 1024 * 1024
"""S3 allows 5 GiB, but MinIO really copies: that would outlast the read timeout, each time."""
PART_BYTES = 8 * 1024 * 1024
"""How much of what follows is held, and sent at a time. So a base has 78 GiB at most."""

Range = tuple[int, int]


def grow(
    key: str,
    base: Info,
    tail: Iterable[Steps[bytes]],
    tail_bytes: int,
    meta: Meta,
    is_in_time: Callable[[], bool] = lambda: True,
) -> Steps[None]:
    """Replace the version `base` of an object by itself followed by `tail`, which is read as it is sent.

    Raises `Changed` when another was faster, or where an upload is not `is_in_time` when it could be completed, and
    whatever reading `tail` raises. Nothing is written then.
    """
    copies = choose_copies(base.size_bytes, tail_bytes)
    copied = copies[-1][1] if copies else 0
    pieces = tail if copied == base.size_bytes else chain([_read_rest(key, base, copied)], tail)
    if copies or base.size_bytes + tail_bytes > PART_BYTES:
        yield from upload(key, base.etag, copies, pieces, meta, is_in_time)
        return
    whole = []
    for piece in pieces:
        whole.append((yield from piece))
    if (yield Put(key, b"".join(whole), meta, if_match=base.etag)) is None:
        raise Changed


def choose_copies(base_bytes: int, tail_bytes: int) -> Sequence[Range]:
    """Which ranges of a base are copied, each as one part. The rest of it is sent again, with the tail.

    One part for all of the base and one for the tail, where the tail is the smaller; else parts of `PART_BYTES`.
    """
    is_one = COPY_FROM_BYTES <= base_bytes <= COPY_AT_ONCE_BYTES
    if is_one and tail_bytes <= min(base_bytes, PART_BYTES):
        return ((0, base_bytes),)
    starts = range(0, base_bytes - base_bytes % PART_BYTES, PART_BYTES)
    return tuple((start, start + PART_BYTES) for start in starts)


def upload(
    key: str,
    if_match: str,
    copies: Sequence[Range],
    pieces: Iterable[Steps[bytes]],
    meta: Meta,
    is_in_time: Callable[[], bool] = lambda: True,
) -> Steps[None]:
    """Replace the version `if_match` of an object by ranges of it, and `pieces` behind them.

    Raises `Changed` when another was faster, or it is no longer in time. Unless it is completed, the upload is aborted:
    its parts would take up space, seen in no LIST. The store removes those of a process that was killed
    (docs/retention.md).
    """
    upload_id: str = yield Begin(key, meta)
    try:
        # First, so that nothing is copied for the sake of a tail that turns out not to be what it should.
        sent = yield from _send(key, upload_id, len(copies) + 1, pieces)
        copied = yield from _copy(key, upload_id, copies, if_match)
        # The last thing before it: this process may have been stopped at any request, or its machine have slept.
        if not is_in_time() or (yield Complete(key, upload_id, (*copied, *sent), if_match)) is None:
            raise Changed
    except GeneratorExit:  # nobody is left who would do it
        raise
    except BaseException:
        with suppress(StoreError):  # what made us abort is what must be heard
            yield Abort(key, upload_id)
        raise


def _send(key: str, upload_id: str, first: int, pieces: Iterable[Steps[bytes]]) -> Steps[list[str]]:
    """As parts of `PART_BYTES`, the last one shorter. Their ETags."""
    etags: list[str] = []
    part = bytearray()
    for piece in pieces:
        body = memoryview((yield from piece))
        while body:
            room = PART_BYTES - len(part)
            part += body[:room]
            body = body[room:]
            if len(part) == PART_BYTES:
                etags.append((yield Send(key, upload_id, first + len(etags), part)))
                part = bytearray()
    if part:
        etags.append((yield Send(key, upload_id, first + len(etags), part)))
    return etags


def _copy(key: str, upload_id: str, copies: Sequence[Range], if_match: str) -> Steps[list[str]]:
    """As the first parts. Their ETags."""
    etags: list[str] = []
    for number, (start, end) in enumerate(copies, 1):
        etag: str | None = yield Copy(key, upload_id, number, start, end, if_match)
        if etag is None:
            raise Changed
        etags.append(etag)
    return etags


def _read_rest(key: str, base: Info, start: int) -> Steps[bytes]:
    """What is not copied of the base."""
    blob: Blob | PastEnd | None = yield Get(key, start)
    if not isinstance(blob, Blob) or blob.info.etag != base.etag:
        raise Changed
    return blob.body


def known(body: bytes) -> Steps[bytes]:
    """A piece that need not be read."""
    yield from ()
    return body
