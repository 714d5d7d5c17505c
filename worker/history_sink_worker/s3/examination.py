"""What a store lets others do, and what time it has: for `doctor`. It writes to a key of the probe's alone."""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import botocore
from botocore.config import Config
from botocore.exceptions import ClientError

from history_sink_worker.s3.client import S3Store
from history_sink_worker.s3.connection import addressing
from history_sink_worker.s3.errors import FOREIGN, code_and_status, meaning_of
from history_sink_worker.s3.isolation import session


def read_clock(store: S3Store) -> tuple[float | None, str]:
    """How far the store's clock is ahead of ours, in seconds, and what its server calls itself.

    From any answer, a refusal too: a clock that is wrong is refused. The header has whole seconds.
    """
    began_at = time.time()
    try:
        answer: Any = store._client().list_buckets(MaxBuckets=1)
    except ClientError as error:
        answer = error.response
    except FOREIGN:
        return None, ""
    middle = (began_at + time.time()) / 2
    headers = answer["ResponseMetadata"].get("HTTPHeaders", {})
    try:
        at = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return None, str(headers.get("server", ""))
    return (0.0 if at <= middle < at + 1 else at + 0.5 - middle), str(headers.get("server", ""))


def find_what_anybody_may(store: S3Store, key: str) -> dict[str, bool | None]:
    """Whether each act works without credentials, None where nobody can tell; `key` is there, and will be deleted."""
    client: Any = session().client(
        "s3",
        endpoint_url=store.endpoint,
        region_name=store._region,
        verify=store.connection.verify,
        config=Config(
            signature_version=botocore.UNSIGNED,
            connect_timeout=3,
            read_timeout=5,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": addressing(store.endpoint)},
            proxies=store.proxies,
        ),
    )
    tries: dict[str, Callable[[], Any]] = {
        "read objects": lambda: client.get_object(Bucket=store.bucket, Key=key)["Body"].close(),
        "list objects": lambda: client.list_objects_v2(Bucket=store.bucket, MaxKeys=1),
        "write objects": lambda: client.put_object(Bucket=store.bucket, Key=key, Body=b"doctor\n"),
    }
    return {act: _works(attempt) for act, attempt in tries.items()}


def count_other_buckets(store: S3Store) -> tuple[int, bool | None]:
    """How many other buckets these credentials see, and whether they may list one's objects; None: nobody can tell."""
    client: Any = store._client()
    try:
        names = [each["Name"] for each in client.list_buckets()["Buckets"] if each["Name"] != store.bucket]
    except FOREIGN as error:
        return 0, _refused_or_unclear(error)
    answers = [_works(partial(client.list_objects_v2, Bucket=name, MaxKeys=1)) for name in names[:5]]
    return len(names), True if True in answers else None if None in answers else False


def may_delete_buckets(store: S3Store, absent_name: str, server: str) -> bool | None:
    """Tried on a bucket that there is not: who may is told so, who may not is refused first.

    But not by AWS, which tells everybody. None: nobody can tell.
    """
    if server == "AmazonS3":
        return False
    try:
        store._client().delete_bucket(Bucket=absent_name)
    except FOREIGN as error:
        return True if code_and_status(error)[0] == "NoSuchBucket" else _refused_or_unclear(error)
    return True


def _works(attempt: Callable[[], Any]) -> bool | None:
    try:
        attempt()
    except FOREIGN as error:
        return _refused_or_unclear(error)
    return True


def _refused_or_unclear(error: Exception) -> bool | None:
    """False where the store refuses, None for a failure that says nothing: a timeout is no proof of a closed bucket.

    A store without such a request refuses it as well, with 400, 405 or 501.
    """
    meaning = meaning_of(error)
    return False if meaning == "denied" or (isinstance(error, ClientError) and meaning != "away") else None
