"""An S3 in memory that answers the requests of `history_sink_worker.store`, one atomic step each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import md5

from history_sink_worker.store import (
    Abort,
    Away,
    Begin,
    Blob,
    Complete,
    Copy,
    Delete,
    Entry,
    Get,
    Head,
    Info,
    List,
    Meta,
    Page,
    PastEnd,
    Put,
    Reply,
    Request,
    Send,
)

WRITES = (Put, Complete, Delete)
"""What changes what others see."""


@dataclass
class Upload:
    """An object that is being written in parts."""

    begun: Begin
    begun_at: float
    parts: dict[int, bytes] = field(default_factory=dict)


class ModelStore:
    """`now` is the store's clock, which each request moves; `page` says how long the next LIST page is.

    `equal_etags`: equal bytes have equal ETags, as on most stores. `dates_by_begin`: an object that was written in
    parts has the time at which that began, as on AWS.
    """

    def __init__(self, request_seconds: float = 1.0) -> None:
        self.request_seconds = request_seconds
        self.objects: dict[str, Blob] = {}
        self.uploads: dict[str, Upload] = {}
        self.now = 0.0
        self.versions = 0
        self.equal_etags = False
        self.dates_by_begin = False
        self.page: Callable[[], int] = lambda: 1000
        self.counts: dict[str, int] = {}

    def perform(self, request: Request) -> Reply:
        self.now += self.request_seconds
        name = type(request).__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        match request:
            case Put():
                return self._write(request.key, request.body, request.meta, request.if_match, self.now)
            case Begin():
                self.versions += 1
                self.uploads[f"u{self.versions}"] = Upload(request, self.now)
                return f"u{self.versions}"
            case Send():
                return self._take_part(request, bytes(request.body))
            case Copy():
                here = self.objects.get(request.key)
                if here is None or here.info.etag != request.if_match:
                    return None
                assert request.start < request.end <= len(here.body)
                return self._take_part(request, here.body[request.start : request.end])
            case Complete():
                return self._complete(request)
            case Abort():
                self.uploads.pop(request.upload_id, None)
                return None
            case Get():
                return self._get(request)
            case Head():
                blob = self.objects.get(request.key)
                return blob.info if blob else None
            case List():
                return self._list(request)
            case Delete():
                for key in request.keys:
                    self.objects.pop(key, None)
                return None

    def _upload(self, request: Send | Copy | Complete) -> Upload:
        if request.upload_id not in self.uploads:
            raise Away("NoSuchUpload")
        return self.uploads[request.upload_id]

    def _take_part(self, request: Send | Copy, body: bytes) -> str:
        self._upload(request).parts[request.number] = body
        return f"part {request.number}"

    def _complete(self, request: Complete) -> str | None:
        """As R2, the strictest of stores: all parts but the last are of one size, and the last is no larger."""
        upload = self._upload(request)
        assert upload.begun.key == request.key
        assert request.etags == tuple(f"part {number}" for number in range(1, len(upload.parts) + 1))
        parts = [upload.parts[number] for number in range(1, len(upload.parts) + 1)]
        assert {len(part) for part in parts[:-1]} <= {len(parts[0])}
        assert 0 < len(parts[-1]) <= len(parts[0])
        modified = upload.begun_at if self.dates_by_begin else self.now
        written = self._write(request.key, b"".join(parts), upload.begun.meta, request.if_match, modified)
        if written is not None:
            del self.uploads[request.upload_id]
        return written

    def _write(self, key: str, body: bytes, meta: Meta, if_match: str | None, modified: float) -> str | None:
        here = self.objects.get(key)
        if (here.info.etag if here else None) != if_match:
            return None
        self.versions += 1
        etag = md5(body).hexdigest() if self.equal_etags else str(self.versions)
        self.objects[key] = Blob(body, Info(len(body), etag, dict(meta), modified))
        return etag

    def _get(self, request: Get) -> Blob | PastEnd | None:
        blob = self.objects.get(request.key)
        if blob is None:
            return None
        if (request.start, request.end) != (0, None) and request.start >= len(blob.body):
            return PastEnd()
        return Blob(blob.body[request.start : request.end], blob.info)

    def _list(self, request: List) -> Page:
        keys = [key for key in self.objects if key.startswith(request.prefix)]
        if request.by_folder:
            keys = [*{self._fold(key, request) for key in keys}]
        names = sorted(name for name in keys if name > request.after)
        size = self.page()
        page = names[:size]
        entries = [(name, self.objects[name].info) for name in page if name in self.objects]
        return Page(
            tuple(Entry(key, info.size_bytes, info.etag, info.modified) for key, info in entries),
            page[-1] if len(names) > size else None,
            tuple(name for name in page if name not in self.objects),
        )

    @staticmethod
    def _fold(key: str, request: List) -> str:
        folder, slash, _ = key.removeprefix(request.prefix).partition("/")
        return f"{request.prefix}{folder}/" if slash else key
