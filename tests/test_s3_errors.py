"""What a failed call means: the table, and that no error of botocore's is left out of it."""

from collections.abc import Iterator

import botocore.exceptions
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointProviderError,
    InvalidRegionError,
    ParamValidationError,
    UnknownServiceError,
    UnknownSignatureVersionError,
    UnsupportedS3ConfigurationError,
    ValidationError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import ProtocolError

from history_sink_worker.s3.client import S3Store
from history_sink_worker.s3.errors import FOREIGN, meaning_of
from history_sink_worker.s3.meanings import judge
from history_sink_worker.store import (
    Abort,
    Away,
    Begin,
    Complete,
    Copy,
    Delete,
    Denied,
    Get,
    Head,
    List,
    Put,
    Request,
    Send,
    StoreError,
    Unfit,
)

SECRET = "the-secret-key"
CREATE = Put("k", b"said in confidence", {})
REPLACE = Put("k", b"said in confidence", {}, if_match="e")
EVERY_REQUEST: list[Request] = [CREATE, REPLACE, Get("k"), Head("k"), List("k"), Delete(("k", "l"))]
EVERY_REQUEST += [Begin("k", {}), Send("k", "u", 1, bytearray(b"said in confidence")), Copy("k", "u", 1, 0, 9, "e")]
EVERY_REQUEST += [Complete("k", "u", ("t",), "e"), Abort("k", "u")]

CODES = [
    ("PreconditionFailed", 412, "conflict"),
    ("412", 412, "conflict"),
    ("ConditionalRequestConflict", 409, "conflict"),
    ("NoSuchKey", 404, "missing"),
    ("InvalidRange", 416, "past_end"),
    ("416", 416, "past_end"),
    ("AccessDenied", 403, "denied"),
    ("InvalidAccessKeyId", 403, "denied"),
    ("SignatureDoesNotMatch", 403, "denied"),
    ("ExpiredToken", 400, "denied"),
    ("XAdminUserNotFound", 404, "denied"),
    ("403", 403, "denied"),
    ("Unauthorized", 401, "denied"),
    ("EntityTooLarge", 400, "refused"),
    ("EntityTooLarge", 413, "refused"),
    ("", 413, "away"),
    ("413", 413, "away"),
    ("EntityTooSmall", 400, "refused"),
    ("MetadataTooLarge", 400, "refused"),
    ("KeyTooLongError", 400, "refused"),
    ("XMinioInvalidObjectName", 400, "refused"),
    ("RequestTimeTooSkewed", 403, "away"),
    ("QuotaExceeded", 403, "away"),
    ("NoSuchBucket", 404, "away"),
    ("NoSuchUpload", 404, "away"),
    ("404", 404, "away"),
    ("OperationAborted", 409, "away"),
    ("BadDigest", 400, "away"),
    ("XAmzContentSHA256Mismatch", 400, "away"),
    ("XMinioAdminBucketQuotaExceeded", 400, "away"),
    ("XMinioStorageFull", 507, "away"),
    ("XMinioBackendDown", 400, "away"),
    ("RequestTimeout", 400, "away"),
    ("RequestTimeout", 503, "away"),
    ("TooManyRequests", 429, "away"),
    ("InternalError", 500, "away"),
    ("502", 502, "away"),
    ("503", 503, "away"),
    ("504", 504, "away"),
    ("SlowDown", 503, "away"),
    ("SlowDownRead", 503, "away"),
    ("SlowDownWrite", 503, "away"),
    ("XMinioServerNotInitialized", 503, "away"),
    ("NotImplemented", 501, "unfit"),
    ("501", 501, "unfit"),
    ("MissingContentLength", 411, "unfit"),
    ("411", 411, "unfit"),
    ("405", 405, "unfit"),
    ("301", 301, "unfit"),
    ("308", 308, "unfit"),
    ("TemporaryRedirect", 307, "away"),
    ("400", 400, "unfit"),
    ("408", 408, "away"),
    ("409", 409, "away"),
    ("414", 414, "away"),
    ("421", 421, "away"),
    ("425", 425, "away"),
    ("429", 429, "away"),
    ("431", 431, "away"),
    ("InvalidBucketName", 400, "unfit"),
    ("InvalidArgument", 400, "unfit"),
    ("InvalidRequest", 400, "unfit"),
    ("PermanentRedirect", 301, "unfit"),
    ("AuthorizationHeaderMalformed", 400, "unfit"),
    ("NeverHeardOf", 418, "away"),
]


@pytest.mark.parametrize(("code", "status", "meaning"), CODES)
def test_the_code_decides_and_then_the_status(code: str, status: int, meaning: str) -> None:
    assert judge(code, status) == meaning


def test_only_a_head_says_missing_without_a_code() -> None:
    assert judge("404", 404, "HeadObject") == "missing"
    assert judge("404", 404, "GetObject") == "away"  # some other web server's


def subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for child in kind.__subclasses__():
        yield from subclasses(child)


BOTOCORE = sorted({*subclasses(BotoCoreError), *subclasses(ClientError)}, key=lambda c: c.__name__)
NOT_AWAY = {
    "NoCredentialsError": Denied,
    "PartialCredentialsError": Denied,
    "CredentialRetrievalError": Denied,
}
UNFIT = (
    ParamValidationError,
    ValidationError,
    InvalidRegionError,
    EndpointProviderError,
    UnsupportedS3ConfigurationError,
    UnknownServiceError,
    UnknownSignatureVersionError,
    ResponseParserError,
    LookupError,
    ValueError,
)
"""What waiting mends never, besides what is said in an answer."""


def made(kind: type[Exception]) -> Exception:
    """One of its kind, with as much in it as all of them have."""
    error = kind.__new__(kind, "said in confidence")
    if isinstance(error, ClientError):
        error.operation_name, error.response = "PutObject", {}
    return error


@pytest.mark.parametrize("kind", [*BOTOCORE, ResponseParserError, ProtocolError])
def test_every_error_of_botocore_becomes_ours(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    store = S3Store(endpoint="http://127.0.0.1:1", bucket="b", access_key="a", secret_key="s")

    def fail() -> None:
        raise made(kind)

    monkeypatch.setattr(store, "_client", fail)
    for request in EVERY_REQUEST:
        with pytest.raises(StoreError) as failure:
            store.perform(request)
        assert type(failure.value) is NOT_AWAY.get(kind.__name__, Unfit if issubclass(kind, UNFIT) else Away)
        assert "said in confidence" not in str(failure.value)
        assert failure.value.__suppress_context__  # a traceback would print botocore's text


def test_no_error_of_botocore_is_left_out() -> None:
    own = {
        kind
        for kind in vars(botocore.exceptions).values()
        if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == "botocore.exceptions"
    }
    left_out = {kind.__name__ for kind in own if not issubclass(kind, FOREIGN)}
    # Raised by nothing but a defect in botocore's own service files; and warnings.
    assert left_out == {
        "UndefinedModelAttributeError",
        "MissingServiceIdError",
        "ImminentRemovalWarning",
        "UnsupportedTLSVersionWarning",
    }
    assert {meaning_of(made(kind)) for kind in own if issubclass(kind, FOREIGN)} == {
        "away",
        "denied",
        "unfit",
    }
