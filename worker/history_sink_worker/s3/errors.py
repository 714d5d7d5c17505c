"""What a failed call means to the archive, and how that is said."""

import ssl

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointProviderError,
    InvalidRegionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSLError,
    UnknownServiceError,
    UnknownSignatureVersionError,
    UnsupportedS3ConfigurationError,
    ValidationError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from history_sink_worker.s3.credentials import Unobtainable
from history_sink_worker.s3.meanings import Meaning, has_no_document, judge
from history_sink_worker.store import Away, Complete, Copy, Denied, Get, Head, Put, Rejected, Request, StoreError, Unfit

_NOT_YET_VALID, _EXPIRED = 9, 10
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and …_HAS_EXPIRED."""

FOREIGN = (
    BotoCoreError,
    ClientError,
    Unobtainable,
    HTTPError,  # urllib3's, from the middle of a body
    ResponseParserError,
    LookupError,  # this and ValueError: an answer that is not S3's: a field is missing,
    ValueError,  # a date is none, the range is not the one that was asked for
)
"""All that a call may raise, an unreadable answer included."""

_ERRORS: dict[Meaning, type[StoreError]] = {"denied": Denied, "refused": Rejected, "unfit": Unfit}

_SETTINGS = {
    "BucketName": "CODETETHER_HISTORY_S3_BUCKET",
    "Region": "CODETETHER_HISTORY_S3_REGION",
    "Location": "CODETETHER_HISTORY_S3_REGION",
    "AuthorizationHeaderMalformed": "CODETETHER_HISTORY_S3_REGION",
    "PermanentRedirect": "CODETETHER_HISTORY_S3_REGION and CODETETHER_HISTORY_S3_ENDPOINT",
    "KMS": "CODETETHER_HISTORY_S3_SSE_KMS_KEY_ID",
    "KeyTooLong": "CODETETHER_HISTORY_S3_PREFIX",
    "InvalidObjectName": "CODETETHER_HISTORY_S3_PREFIX",
}

_OF_THE_BUCKET = ("InvalidRequest", "ObjectLocked", "InvalidObjectState", "EntityTooLarge", "EntityTooSmall")
"""No setting of ours would change these."""

_UNSENT = (
    ParamValidationError,
    ValidationError,
    InvalidRegionError,
    EndpointProviderError,
    UnsupportedS3ConfigurationError,
    UnknownServiceError,
    UnknownSignatureVersionError,
)
"""What botocore says before it sends anything, of settings that it cannot use."""

_LIMITS = {
    408: "for how long a request may take",
    413: "of a request's body, such as nginx's client_max_body_size",
    414: "of an address",
    429: "of requests at a time",
    421: "to the hosts that it serves",
    425: "of what may be sent so early",
    431: "of headers",
}
"""What a proxy may have to say by a status alone, and the store would say with an error of S3's."""


def meaning_of(error: Exception) -> Meaning:
    """What one of `FOREIGN` means."""
    if isinstance(error, ClientError):
        return judge(*code_and_status(error), error.operation_name)
    if isinstance(error, Unobtainable):
        return "away" if error.is_passing else "denied"
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
        return "denied"
    if isinstance(error, SSLError):
        return "unfit" if _is_no_tls(error) else "away"
    if isinstance(error, (*_UNSENT, ResponseParserError, LookupError, ValueError)):
        return "unfit"
    return "away"


def _is_no_tls(error: BaseException) -> bool:
    """Not TLS at all, or a certificate that is not to be trusted, other than for its dates: those pass."""
    cause = error.__cause__ or error.__context__
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_code not in (_NOT_YET_VALID, _EXPIRED)
    return isinstance(cause, ssl.SSLError) and cause.reason in (
        "WRONG_VERSION_NUMBER",
        "HTTP_REQUEST",
        "UNKNOWN_PROTOCOL",
        "RECORD_LAYER_FAILURE",
    )


def is_answer(request: Request, meaning: Meaning) -> bool:
    """Whether this failure is a reply that `request` provides for (`PastEnd`, else None)."""
    match request, meaning:
        case Put() | Copy() | Complete(), "conflict":
            return True
        case Put(if_match=str()) | Copy() | Complete() | Get() | Head(), "missing":
            return True
        case Get(), "past_end":
            return True
    return False


def translate(error: Exception, what: str, endpoint: str) -> StoreError:
    """One of `FOREIGN` as ours: `Denied`, `Rejected` if refused for ever, else `Away`.

    `what` is what was tried, such as ``PUT s3://bucket/key``.
    """
    meaning = meaning_of(error)
    advice = _advice(error) if meaning in ("unfit", "refused") else ""
    translated = _ERRORS.get(meaning, Away)(f"{what} failed: {_evidence(error, endpoint)}{advice}")
    translated.gist = _gist(error, what)
    return translated


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
        if has_no_document(code, status):
            limit = f": not S3's own word, but a proxy's limit {_LIMITS[status]}" if status in _LIMITS else ""
            return f"HTTP {status}{limit}"
        return f"{code[:60]} ({status})" if status else code[:60]
    if isinstance(error, Unobtainable):
        return str(error)
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


def _gist(error: Exception, what: str) -> str:
    """The operation, and the code or what else kind of failure it was."""
    code, status = code_and_status(error)
    return f"{what.split()[0]} {code or status or type(error).__name__}"


def _advice(error: Exception) -> str:
    """Which setting to look at, as far as what was said tells."""
    code, status = code_and_status(error)
    if code in _OF_THE_BUCKET:
        return ""
    for words, setting in _SETTINGS.items():
        if words in code:
            return f"; see {setting}"
    if isinstance(error, InvalidRegionError):
        return f"; see {_SETTINGS['Region']}"
    if isinstance(error, ParamValidationError):
        return f"; see {_SETTINGS['BucketName']}"
    if status in (405, 411, 501) or code in ("MethodNotAllowed", "NotImplemented", "MissingContentLength"):
        return "; what answers lacks this request: is CODETETHER_HISTORY_S3_ENDPOINT an S3 store's?"
    return "; is CODETETHER_HISTORY_S3_ENDPOINT the address of an S3 store's API, with the right scheme and port?"
