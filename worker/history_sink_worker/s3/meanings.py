"""What an error answer of the store means to the archive: one table, judged by S3's code first, by status second.

The status alone misleads: 403 is also a wrong clock and a full quota, 404 also a missing bucket and
(versitygw) an unknown access key, 400 also a full bucket (MinIO).
"""

from typing import Literal, TypeAlias

Meaning: TypeAlias = Literal["conflict", "missing", "past_end", "denied", "refused", "away", "unfit"]

_BY_CODE: dict[str, Meaning] = {
    "PreconditionFailed": "conflict",
    "ConditionalRequestConflict": "conflict",
    "NoSuchKey": "missing",
    "InvalidRange": "past_end",
    "AccessDenied": "denied",
    "AllAccessDisabled": "denied",
    "InvalidAccessKeyId": "denied",
    "SignatureDoesNotMatch": "denied",
    "ExpiredToken": "denied",  # 400 on AWS
    "InvalidToken": "denied",  # 400 on AWS
    "InvalidTokenId": "denied",  # MinIO, of one that has expired, too
    "XAdminUserNotFound": "denied",  # 404: versitygw's InvalidAccessKeyId
    "RequestTimeTooSkewed": "away",  # 403, but no credential is wrong: a clock is
    "QuotaExceeded": "away",  # 403 on Ceph and versitygw: full, not forbidden
    "EntityTooLarge": "refused",
    "EntityTooSmall": "refused",
    "KeyTooLongError": "refused",
    "MetadataTooLarge": "refused",
    "XMinioInvalidObjectName": "refused",
    "InvalidBucketName": "unfit",
    "InvalidArgument": "unfit",  # also MinIO's console, to a request of S3
    "InvalidRequest": "unfit",  # also an object under retention (MinIO)
    "InvalidURI": "unfit",
    "ObjectLocked": "unfit",
    "InvalidObjectState": "unfit",
    "MethodNotAllowed": "unfit",
    "NotImplemented": "unfit",
    "MissingContentLength": "unfit",
    "PermanentRedirect": "unfit",
    "TemporaryRedirect": "away",  # a bucket that is new
    "AuthorizationHeaderMalformed": "unfit",
    "IllegalLocationConstraintException": "unfit",
    "InvalidLocationConstraint": "unfit",
    "InvalidRegion": "unfit",  # MinIO
    "KMS.NotFoundException": "unfit",
    "KMS.DisabledException": "unfit",
}

OF_KEYS = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "InvalidTokenId",
        "XAdminUserNotFound",
    }
)
"""What is said of keys that other ones may have replaced, and not of what they may do."""

_BY_STATUS: dict[int, Meaning] = {
    401: "denied",
    403: "denied",
    405: "unfit",
    411: "unfit",
    412: "conflict",
    416: "past_end",
    501: "unfit",
    505: "unfit",
}


def judge(code: str, status: int, operation: str = "") -> Meaning:
    """What an error answer means; `operation` is S3's name of the call, such as ``HeadObject``.

    ``away`` is said of everything unknown: waiting loses nothing, giving up may. ``refused`` is
    only what lies in this very request, so that repeating it can never help, and only what S3's own
    code says so: a status without one may be a proxy's. ``unfit`` is what no waiting mends.
    """
    if code in _BY_CODE:
        return _BY_CODE[code]
    if (300 <= status <= 400) and has_no_document(code, status):  # 400: also plain HTTP to a port of HTTPS
        return "unfit"
    if status == 404 and operation == "HeadObject":
        return "missing"  # a HEAD has no body, so no code; any other 404 without one is not S3's
    return _BY_STATUS.get(status, "away")


def has_no_document(code: str, status: int) -> bool:
    """Whether an answer was no error of S3's: botocore makes a code of the status then, or none."""
    return not code or code == str(status)
