"""A contestant: a store of transcripts that makes an object of each append, as the Claude Agent SDK's S3 example does.

The lines are ours, the requests are the example's (`examples/session_stores/s3_session_store.py` of the SDK's sources):
a PUT for each append, a LIST and a GET for each object to load, a LIST of all objects of a project for its sessions.
"""

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

THREADS = 16
"""So many objects are read at a time, as in the example."""


class PartStore:
    """In a bucket of its own."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._last_ms = 0

    def append(self, project: str, session: str, entries: Sequence[Any]) -> None:
        """One object, named by the time."""
        self._last_ms = max(int(time.time() * 1000), self._last_ms + 1)
        key = f"{project}/{session}/part-{self._last_ms:013}-{secrets.token_hex(3)}.jsonl"
        body: Any = bytearray(b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in entries))
        self._client.put_object(Bucket=self._bucket, Key=key, Body=body)  # bytes would wait for `100 Continue`

    def load(self, project: str, session: str) -> list[Any]:
        """All objects of the session, one after the other."""
        keys = sorted(self._list(f"{project}/{session}/", Delimiter="/"))
        with ThreadPoolExecutor(THREADS) as threads:
            return [json.loads(line) for body in threads.map(self._get, keys) for line in body.splitlines()]

    def list_sessions(self, project: str) -> list[str]:
        """Of the names of all objects of the project."""
        return sorted({key.split("/")[1] for key in self._list(f"{project}/")})

    def _get(self, key: str) -> bytes:
        return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    def _list(self, prefix: str, **options: Any) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix, **options)
        for page in pages:
            yield from (each["Key"] for each in page.get("Contents", ()))
