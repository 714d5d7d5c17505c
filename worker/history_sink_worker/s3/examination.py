"""What a store lets others do, and what time it has: for `doctor`. It writes to a key of the probe's alone."""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import botocore
from botocore.config import Config
from botocore.exceptions import ClientError

from history_sink_worker.s3.client import S3Store, _addressing
from history_sink_worker.s3.errors import FOREIGN, code_and_status
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


def find_what_anybody_may(store: S3Store, key: str) -> tuple[str, ...]:
    """What works without credentials; `key` is an object that is there, and will be deleted."""
    client: Any = session().client(
        "s3",
        endpoint_url=store.endpoint,
        region_name=store._region,
        verify=store.verify,
        config=Config(
            signature_version=botocore.UNSIGNED,
            connect_timeout=3,
            read_timeout=5,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": _addressing(store.endpoint)},
        ),
    )
    tries: dict[str, Callable[[], Any]] = {
        "read objects": lambda: client.get_object(Bucket=store.bucket, Key=key)["Body"].close(),
        "list objects": lambda: client.list_objects_v2(Bucket=store.bucket, MaxKeys=1),
        "write objects": lambda: client.put_object(Bucket=store.bucket, Key=key, Body=b"doctor\n"),
    }
    return tuple(act for act, attempt in tries.items() if _works(attempt))


def count_other_buckets(store: S3Store) -> tuple[int, bool]:
    """How many other buckets these credentials see, and whether they may list the objects of one."""
    client: Any = store._client()
    try:
        names = [each["Name"] for each in client.list_buckets()["Buckets"] if each["Name"] != store.bucket]
    except FOREIGN:
        return 0, False
    tries = [partial(client.list_objects_v2, Bucket=name, MaxKeys=1) for name in names[:5]]
    return len(names), any(map(_works, tries))


def may_delete_buckets(store: S3Store, absent_name: str, server: str) -> bool:
    """Tried on a bucket that there is not: who may is told so, who may not is refused first.

    But not by AWS, which tells everybody.
    """
    if server == "AmazonS3":
        return False
    try:
        store._client().delete_bucket(Bucket=absent_name)
    except ClientError as error:
        return code_and_status(error)[0] == "NoSuchBucket"
    except FOREIGN:
        return False
    return True


def _works(attempt: Callable[[], Any]) -> bool:
    try:
        attempt()
    except FOREIGN:
        return False
    return True
