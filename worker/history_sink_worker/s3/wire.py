"""What S3 says in a form of its own: ranges, ETags, pages. Pure."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from history_sink_worker.store import Entry, Get, Info, List, Page

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef, ObjectTypeDef

MAX_OFFSET = 2**63 - 1
_BEHIND_ALL = "\U0010ffff"  # as UTF-8 it sorts behind whatever else a key may hold
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)


def range_header(request: Get) -> str | None:
    """The Range header for what is asked; None for the whole object.

    Numbers are clamped to 63 bits: MinIO ignores a range that it can't read, and sends everything.
    """
    assert request.end is None or request.start < request.end, "an empty range is no request"
    if request.start == 0 and request.end is None:
        return None
    last = "" if request.end is None else str(min(request.end, MAX_OFFSET) - 1)
    return f"bytes={min(request.start, MAX_OFFSET - 1)}-{last}"


def answered_range(content_range: str | None, length: int) -> tuple[int, int, int]:
    """Start and end of the bytes in a GET's answer, and the object's size. Raises ValueError."""
    if content_range is None:
        return 0, length, length
    found = _CONTENT_RANGE.fullmatch(content_range)
    if not found:
        raise ValueError("Content-Range is malformed")
    first, last, size = map(int, found.groups())
    return first, last + 1, size


def check_range(request: Get, content_range: str | None, length: int) -> int | None:
    """The object's size, by the head of a GET's answer; None: the range starts behind its end.

    Raises ValueError where what follows is not what was asked for: it must not be read, however long it is.
    """
    start, end, size = answered_range(content_range, length)
    is_whole = request.start == 0 and request.end is None
    if not is_whole and request.start >= size:
        return None
    if (start, end) != (request.start, size if request.end is None else min(request.end, size)):
        raise ValueError("not the range that was asked for")
    if length != end - start:
        raise ValueError("not as long as its range")
    return size


def read_etag(text: str) -> str:
    """Without quotes: not all stores set them in a LIST, and the same version must look the same."""
    return text.strip('"')


def encryption(sse: str | None, kms_key_id: str | None) -> dict[str, str]:
    """The parameters of a write that say how the store is to encrypt what it keeps."""
    named = {"ServerSideEncryption": sse, "SSEKMSKeyId": kms_key_id}
    return {name: value for name, value in named.items() if value}


def quote_etag(etag: str) -> str:
    """As If-Match wants it."""
    return f'"{etag}"'


def read_info(answer: Mapping[str, Any], size_bytes: int) -> Info:
    """The answer to a HEAD or GET. Raises KeyError when it is not what S3 answers."""
    return Info(
        size_bytes=size_bytes,
        etag=read_etag(answer["ETag"]),
        meta={name.lower(): value for name, value in answer["Metadata"].items()},
        modified=answer["LastModified"].timestamp(),
    )


def read_page(answer: "ListObjectsV2OutputTypeDef", request: List) -> Page:
    """The answer to a LIST. Raises KeyError or ValueError when it is not what S3 answers.

    A page that ends in a folder is followed by one that starts behind all of that folder: so no
    continuation token is needed, and any worker can go on.
    """
    entries = tuple(_read_entry(found) for found in answer.get("Contents", ()))
    folders = tuple(found["Prefix"] for found in answer.get("CommonPrefixes", ()))
    next_after = None
    if answer["IsTruncated"]:  # absent from a web page, say, which must not read as "no keys"
        next_after = max([*(entry.key for entry in entries), *map(_behind, folders)])
    # AWS repeats the folder that `after` lies in, even if nothing in it is left.
    return Page(entries, next_after, tuple(f for f in folders if _behind(f) > request.after))


def _behind(folder: str) -> str:
    return folder + _BEHIND_ALL


def _read_entry(found: "ObjectTypeDef") -> Entry:
    modified = found["LastModified"].timestamp()
    return Entry(found["Key"], found["Size"], read_etag(found["ETag"]), modified)
