"""What a failed call means to the archive: one table, judged by S3's code first, by status second.

The status alone misleads: 403 is also a wrong clock and a full quota, 404 also a missing bucket and
(versitygw) an unknown access key, 400 also a full bucket (MinIO).
"""

from typing import Literal, TypeAlias

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from history_sink_worker.store import Away, Denied, Get, Grow, Head, Put, Rejected, Request, StoreError

Meaning: TypeAlias = Literal["conflict", "missing", "past_end", "denied", "refused", "away"]

FOREIGN = (
    BotoCoreError,
    ClientError,
    HTTPError,  # urllib3's, from the middle of a body
    ResponseParserError,
    LookupError,  # this and ValueError: an answer that is not S3's: a field is missing,
    ValueError,  # a date is none, the range is not the one that was asked for
)
"""All that a call may raise, an unreadable answer included."""

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
    "XAdminUserNotFound": "denied",  # 404: versitygw's InvalidAccessKeyId
    "RequestTimeTooSkewed": "away",  # 403, but no credential is wrong: a clock is
    "QuotaExceeded": "away",  # 403 on Ceph and versitygw: full, not forbidden
    "EntityTooLarge": "refused",
    "EntityTooSmall": "refused",
    "KeyTooLongError": "refused",
    "MetadataTooLarge": "refused",
    "XMinioInvalidObjectName": "refused",
}

_BY_STATUS: dict[int, Meaning] = {
    401: "denied",
    403: "denied",
    412: "conflict",
    413: "refused",
    416: "past_end",
}

_ERRORS: dict[Meaning, type[StoreError]] = {"denied": Denied, "refused": Rejected}


def judge(code: str, status: int, operation: str = "") -> Meaning:
    """What an error answer means; `operation` is S3's name of the call, such as ``HeadObject``.

    ``away`` is said of everything unknown: waiting loses nothing, giving up may. ``refused`` is
    only what lies in this very request, so that repeating it can never help.
    """
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status == 404 and operation == "HeadObject":
        return "missing"  # a HEAD has no body, so no code; any other 404 without one is not S3's
    return _BY_STATUS.get(status, "away")


def meaning_of(error: Exception) -> Meaning:
    """What one of `FOREIGN` means."""
    if isinstance(error, ClientError):
        return judge(*code_and_status(error), error.operation_name)
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
        return "denied"
    if isinstance(error, ParamValidationError):
        return "refused"
    return "away"


def is_answer(request: Request, meaning: Meaning) -> bool:
    """Whether this failure is a reply that `request` provides for (`PastEnd`, else None)."""
    match request, meaning:
        case Put() | Grow(), "conflict":
            return True
        case Put(if_match=str()) | Grow() | Get() | Head(), "missing":
            return True
        case Get(), "past_end":
            return True
    return False


def translate(error: Exception, what: str, endpoint: str) -> StoreError:
    """One of `FOREIGN` as ours: `Denied`, `Rejected` if refused for ever, else `Away`.

    `what` is what was tried, such as ``PUT s3://bucket/key``.
    """
    kind = _ERRORS.get(meaning_of(error), Away)
    return kind(f"{what} failed: {_evidence(error, endpoint)}")


def code_and_status(error: Exception) -> tuple[str, int]:
    """S3's error code and the HTTP status; ("", 0) where no answer came."""
    if not isinstance(error, ClientError):
        return "", 0
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return error.response.get("Error", {}).get("Code", ""), status


def _evidence(error: Exception, endpoint: str) -> str:
    """What went wrong in a few words; never botocore's own text, which may quote a body."""
    if isinstance(error, ClientError):
        code, status = code_and_status(error)
        if not code or code == str(status):  # no body, as to every HEAD
            return f"HTTP {status}"
        return f"{code[:60]} ({status})" if status else code[:60]
    if isinstance(error, BotoCoreError | HTTPError | ResponseParserError):
        return f"{type(error).__name__} ({_system_reason(error)}{endpoint})"
    return f"not an answer of S3's ({type(error).__name__}: {str(error)[:100]})"


def _system_reason(error: BaseException) -> str:
    """Why the system could not connect ("Connection refused"), from below the errors around it."""
    cause = error.__cause__ or error.__context__
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return f"{cause.strerror}, "
        cause = cause.__cause__ or cause.__context__
    return ""
