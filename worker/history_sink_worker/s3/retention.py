"""How long a bucket keeps what is in it, by its own rules."""

from collections.abc import Callable, Mapping
from typing import Any

from history_sink_worker.s3.client import S3Store
from history_sink_worker.s3.errors import FOREIGN, code_and_status
from history_sink_worker.store import StoreError

_NONE_THERE = {
    "NoSuchLifecycleConfiguration",
    "ObjectLockConfigurationNotFoundError",
    "NoSuchObjectLockConfiguration",
    "NotImplemented",  # the store knows nothing of the kind
    "MethodNotAllowed",
}


def keeps_versions(store: S3Store) -> bool | None:
    """Whether a DELETE leaves the content as an older version; None where we may not ask.

    A bucket with object lock always does. Suspended versioning keeps what it has.
    """
    try:
        return read_versioning(store) in ("Enabled", "Suspended")
    except StoreError:
        return None


def read_rules(store: S3Store) -> tuple[Mapping[str, Any], ...]:
    """The lifecycle's, as S3 has them. Raises `StoreError`."""
    client: Any = store._client()
    answer = _ask(store, "LIFECYCLE", lambda: client.get_bucket_lifecycle_configuration(Bucket=store.bucket))
    return tuple(answer.get("Rules", ()))


def read_versioning(store: S3Store) -> str:
    """``Enabled``, ``Suspended``, or "" where it never was. Raises `StoreError`."""
    client: Any = store._client()
    answer = _ask(store, "VERSIONING", lambda: client.get_bucket_versioning(Bucket=store.bucket))
    return str(answer.get("Status", ""))


def read_lock(store: S3Store) -> Mapping[str, Any] | None:
    """The retention by default, {} where there is only the lock; None without a lock. Raises `StoreError`."""
    client: Any = store._client()
    answer = _ask(store, "OBJECT LOCK", lambda: client.get_object_lock_configuration(Bucket=store.bucket))
    found = answer.get("ObjectLockConfiguration", {})
    if found.get("ObjectLockEnabled") != "Enabled":
        return None
    retention: Mapping[str, Any] = found.get("Rule", {}).get("DefaultRetention", {})
    return retention


def _ask(store: S3Store, what: str, call: Callable[[], Any]) -> Mapping[str, Any]:
    try:
        answer: Mapping[str, Any] = call()
    except FOREIGN as error:
        if code_and_status(error)[0] in _NONE_THERE:
            return {}
        raise store._error(error, what, "") from None
    return answer
