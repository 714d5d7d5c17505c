"""Policies for the store's users, as S3 and MinIO read them: what each kind of worker needs under its prefix. Pure.

Language: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html. Neither says "create only":
who may PUT may replace. That nothing is overwritten rests on the workers, and against a thief on versioning.
"""

import re
from typing import Any

from history_sink_worker.archive.names import DEAD, PROBE

ROLES = ("writer", "reader", "compactor", "operator")
"""By queue: ``history.upload``, ``history.read``, ``history.maintenance``, the last also for a worker of all three; and
who deletes sessions and dead letters.
"""

_READ = ["s3:GetObject"]
_WRITE = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
_DELETE = ["s3:DeleteObject"]
_LOOK = ["s3:GetLifecycleConfiguration", "s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration"]
"""For doctor, which says what the bucket's own rules would do to an archive."""


def policy(role: str, bucket: str, prefix: str) -> dict[str, Any]:
    """The document for one of `ROLES`. Raises ValueError where `prefix` would be read as a pattern."""
    if re.search(r"[*?$]", prefix):
        raise ValueError("a prefix with *, ? or $ would be a pattern in a policy")
    everything, letters, probes = f"{prefix}*", f"{prefix}{DEAD}*", f"{prefix}{PROBE}*"
    rules: dict[str, list[dict[str, Any]]] = {
        # A reader buries what is no message at all, and that is all that it writes.
        "reader": [_allow(_READ, bucket, everything), _allow(["s3:PutObject"], bucket, letters)],
        "writer": [_allow(_WRITE, bucket, everything), _allow(_DELETE, bucket, probes)],
        "compactor": [_allow(_WRITE + _DELETE, bucket, everything), _deny(_DELETE, bucket, letters)],
        "operator": [_allow(_WRITE + _DELETE, bucket, everything)],
    }
    return {
        "Version": "2012-10-17",
        "Statement": [_allow_listing(bucket, prefix, role), _allow_looking(bucket), *rules[role]],
    }


def _allow(actions: list[str], bucket: str, keys: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": [f"arn:aws:s3:::{bucket}/{keys}"]}


def _allow_looking(bucket: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": _LOOK, "Resource": [f"arn:aws:s3:::{bucket}"]}


def _deny(actions: list[str], bucket: str, keys: str) -> dict[str, Any]:
    return _allow(actions, bucket, keys) | {"Effect": "Deny"}


def _allow_listing(bucket: str, prefix: str, role: str) -> dict[str, Any]:
    # Without it a missing key would be "denied" on AWS, and not "no_match".
    return {
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket}"],
        "Condition": {"StringLike": {"s3:prefix": [f"{prefix}*"]}},
    }
