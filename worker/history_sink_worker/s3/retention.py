"""Whether a bucket keeps what is deleted in it."""

from typing import Any

from history_sink_worker.s3.client import S3Store
from history_sink_worker.s3.errors import FOREIGN


def keeps_versions(store: S3Store) -> bool | None:
    """Whether a DELETE leaves the content as an older version; None where we may not ask.

    A bucket with object lock always does. Suspended versioning keeps what it has.
    """
    client: Any = store._client()
    try:
        answer = client.get_bucket_versioning(Bucket=store.bucket)
    except FOREIGN:
        return None
    return answer.get("Status") in ("Enabled", "Suspended")
