"""An S3 in memory that answers the requests of `history_sink_worker.store`, one atomic step each."""

from collections.abc import Callable
from hashlib import md5

from history_sink_worker.store import (
    Blob,
    Delete,
    Entry,
    Get,
    Grow,
    Head,
    Info,
    List,
    Page,
    PastEnd,
    Put,
    Reply,
    Request,
)


class ModelStore:
    """`now` is the store's clock, which each request moves; `page` says how long the next LIST page is.

    `equal_etags`: equal bytes have equal ETags, as on most stores.
    """

    def __init__(self, request_seconds: float = 1.0) -> None:
        self.request_seconds = request_seconds
        self.objects: dict[str, Blob] = {}
        self.now = 0.0
        self.versions = 0
        self.equal_etags = False
        self.page: Callable[[], int] = lambda: 1000
        self.counts: dict[str, int] = {}

    def perform(self, request: Request) -> Reply:
        self.now += self.request_seconds
        name = type(request).__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        match request:
            case Put():
                return self._write(request.key, request.body, request, request.if_match)
            case Grow():
                here = self.objects.get(request.key)
                body = here.body if here else b""
                assert not here or here.info.etag != request.if_match or len(body) == request.size_bytes
                return self._write(request.key, body + request.tail, request, request.if_match)
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

    def _write(self, key: str, body: bytes, request: Put | Grow, if_match: str | None) -> str | None:
        here = self.objects.get(key)
        if (here.info.etag if here else None) != if_match:
            return None
        self.versions += 1
        etag = md5(body).hexdigest() if self.equal_etags else str(self.versions)
        self.objects[key] = Blob(body, Info(len(body), etag, dict(request.meta), self.now))
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
