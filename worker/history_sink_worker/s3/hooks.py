"""Tells `telemetry.trail` of each request that botocore makes: operation, status, duration, the store's id of it.

By botocore's events (https://docs.aws.amazon.com/botocore/latest/topics/events.html), not around our own calls:
botocore may make several requests for one, and each has an id of its own.
"""

import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ConnectionError as NoConnection
from botocore.exceptions import ConnectTimeoutError, HTTPClientError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from history_sink_worker.s3.credentials import Unobtainable
from history_sink_worker.telemetry.trail import note_request

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MARK = "history_sink"


def attach(client: "S3Client") -> None:
    """From now on, tell of each request of `client`."""
    events: Any = client.meta.events
    events.register("before-call.s3", _begin)
    events.register("after-call.s3", _end)
    events.register("after-call-error.s3", _fail)


def _begin(model: Any, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    if model.name == "HeadBucket" and "s3_redirect" in context:
        # botocore asks so where a redirect leads; if that is redirected too, it would ask for ever.
        context["s3_redirect"]["redirected"] = True
    context[_MARK] = model.name, time.monotonic(), params.get("url_path", "")


def _end(http_response: Any, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    request_id = str(parsed.get("ResponseMetadata", {}).get("RequestId", ""))
    status = http_response.status_code
    code = parsed.get("Error", {}).get("Code")
    if status == 500 and code == "500" and getattr(http_response.raw, "status", status) == 200:
        # botocore makes a 500 of a 200 that is no XML, which looks like an outage.
        _tell(context, "unreadable", request_id)
        raise ResponseParserError("not XML")
    _tell(context, name_status(status), request_id)


def _fail(exception: Exception, context: dict[str, Any], **_: Any) -> None:
    _tell(context, name_failure(exception), "")


def _tell(context: dict[str, Any], code: str, request_id: str) -> None:
    operation, began_at, path = context[_MARK]
    tell(operation, code, began_at, request_id, path)


def name_status(status: int) -> str:
    """How an answer is counted."""
    return str(status) if 100 <= status <= 599 else "unreadable"


def name_failure(error: Exception) -> str:
    """How a request is counted that got no answer, or none that can be read."""
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
        return "timeout"
    if isinstance(error, Unobtainable):
        return "credentials"
    return "connection" if isinstance(error, (NoConnection, HTTPClientError)) else "unreadable"


def tell(operation: str, code: str, began_at: float, request_id: str, path: str) -> None:
    """A request that was begun at `began_at`, in monotonic seconds, has ended so."""
    note_request(operation, code, time.monotonic() - began_at, request_id, path)
