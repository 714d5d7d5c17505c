"""What the archive asks of a store: requests, replies, and the errors that are not answers.

The core (archive, compaction, reader, status) is written as generators that yield these requests and are sent
the replies. `s3.perform` runs one request on a real store; the tests' scheduler runs the same generators on a
model store, and may kill them, or lose an answer, at every one of these points.

412 means another writer won: a `Put`, `Copy` or `Complete` is then answered with None, which is data, not an error.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from history_sink.errors import HistorySinkError

Meta: TypeAlias = Mapping[str, str]
"""An object's user metadata, without ``x-amz-meta-``."""


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole object: create it (``If-None-Match: *``), or replace the version `if_match`.

    -> the new ETag, or None: another writer won (412; 409; 404 where `if_match` names a version).
    """

    key: str
    body: bytes = field(repr=False)
    meta: Meta
    if_match: str | None = None


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin to write an object in parts. Nothing is seen of it until `Complete`. -> the upload's id."""

    key: str
    meta: Meta


@dataclass(frozen=True, slots=True)
class Send:
    """Let these bytes be the part `number`, from 1 on. -> the part's ETag."""

    key: str
    upload_id: str
    number: int
    body: bytearray = field(repr=False)


@dataclass(frozen=True, slots=True)
class Copy:
    """Let bytes ``[start, end)`` of the version `if_match` of the object itself be the part `number`.

    They do not travel. -> the part's ETag, or None: another writer won.
    """

    key: str
    upload_id: str
    number: int
    start: int
    end: int
    if_match: str


@dataclass(frozen=True, slots=True)
class Complete:
    """Replace the version `if_match` by the parts, told by their ETags.

    -> the new ETag, or None: another writer won.
    """

    key: str
    upload_id: str
    etags: tuple[str, ...] = field(repr=False)
    if_match: str


@dataclass(frozen=True, slots=True)
class Abort:
    """Remove the parts of an upload that is not completed. -> None."""

    key: str
    upload_id: str


@dataclass(frozen=True, slots=True)
class Get:
    """Read bytes ``[start, end)``, not empty, clamped to the end; `end` None reads to the end.

    -> `Blob`, `PastEnd`, or None (missing).
    """

    key: str
    start: int = 0
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """-> `Info`, or None (missing)."""

    key: str


@dataclass(frozen=True, slots=True)
class List:
    """One page of the keys with `prefix` that sort behind `after`. -> `Page`."""

    prefix: str
    after: str = ""
    by_folder: bool = False
    """Delimiter ``/``: what lies in folders is answered as the folders' names."""


DELETE_KEYS = 1000
"""So many keys S3 takes in one request (https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html)."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete keys (at most `DELETE_KEYS`; missing ones are no error). -> None."""

    keys: tuple[str, ...]


MultipartRequest: TypeAlias = Begin | Send | Copy | Complete | Abort
Request: TypeAlias = Put | MultipartRequest | Get | Head | List | Delete


@dataclass(frozen=True, slots=True)
class Info:
    """`meta` has lower-case names without ``x-amz-meta-``; `modified` is a Unix time in seconds."""

    size_bytes: int
    etag: str
    meta: Meta
    modified: float


@dataclass(frozen=True, slots=True)
class Blob:
    """The bytes asked for, and what a HEAD would have said of the whole object."""

    body: bytes = field(repr=False)
    info: Info


@dataclass(frozen=True, slots=True)
class PastEnd:
    """The object is there, and the range starts at or behind its end."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object in a LIST."""

    key: str
    size_bytes: int
    etag: str
    modified: float


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a LIST. `next_after` is what the next one starts behind, None on the last page."""

    entries: tuple[Entry, ...]
    next_after: str | None = None
    folders: tuple[str, ...] = ()


Reply: TypeAlias = str | Blob | PastEnd | Info | Page | None

T = TypeVar("T")
Steps: TypeAlias = Generator[Request, Any, T]
"""A piece of work as the requests it makes: sent each reply, returns its result."""


def run(steps: Steps[T], perform: Callable[[Request], Reply]) -> T:
    """Drive `steps` to the end on one store. What `perform` raises, be it an exit, is raised at its request."""
    reply: Reply = None
    trouble: BaseException | None = None
    while True:
        try:
            request = steps.send(reply) if trouble is None else steps.throw(trouble)
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            reply, trouble = perform(request), None
        except BaseException as error:  # noqa: BLE001  # the steps may have begun what they must abort
            trouble = error


def list_all(prefix: str, after: str = "") -> Steps[list[Entry]]:
    """All objects under `prefix` behind the key `after`, page by page. They are not one snapshot."""
    entries: list[Entry] = []
    position: str | None = after
    while position is not None:
        page = yield from list_page(prefix, position)
        entries += page.entries
        position = page.next_after
    return entries


def list_page(prefix: str, after: str) -> Steps[Page]:
    """One page of that."""
    page: Page = yield List(prefix, after)
    return page


class StoreError(HistorySinkError):
    """The store gave no answer that the work can go on with. The text names operation, key and code.

    `gist` is the operation and the code alone: the same each time, whatever the key and the store's words are.
    """

    gist: str = ""


class Away(StoreError):
    """Down, hanging, throttling, full, or its bucket missing: the same request may succeed later."""


class NoBucket(Away):
    """The bucket is missing: somebody has to make it."""


class Unfit(Away):
    """What answers is no S3 store, lacks what was asked of it, or a setting is wrong: waiting alone mends none of it.

    It ends a worker's start. Who has already worked waits, as for all that is `Away`: what he has is not the culprit.
    """


class Denied(StoreError):
    """403, or credentials that the store does not know: later, when somebody has put it right."""


class Rejected(StoreError):
    """The store refuses this very request (too large, an impossible key), and always will."""


class Corrupt(StoreError):
    """What is stored is not what its own metadata says: a foreign writer was here. Nothing is done about it."""
