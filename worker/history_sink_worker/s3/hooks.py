"""Tells `telemetry.trail` of each request that botocore makes: operation, status, duration, the store's id of it.

By botocore's events (https://docs.aws.amazon.com/botocore/latest/topics/events.html), not around our own calls: one
`Grow` is several requests, and each has an id of its own.
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
    request_id = parsed.get("ResponseMetadata", {}).get("RequestId", "")
    status = http_response.status_code
    code = parsed.get("Error", {}).get("Code")
    if status == 500 and code == "500" and getattr(http_response.raw, "status", status) == 200:
        # botocore makes a 500 of a 200 that is no XML, which looks like an outage.
        _tell(context, "unreadable", str(request_id))
        raise ResponseParserError("not XML")
    _tell(context, str(status) if 100 <= status <= 599 else "unreadable", str(request_id))


def _fail(exception: Exception, context: dict[str, Any], **_: Any) -> None:
    code = "unreadable"
    if isinstance(exception, (ConnectTimeoutError, ReadTimeoutError)):
        code = "timeout"
    elif isinstance(exception, Unobtainable):
        code = "credentials"
    elif isinstance(exception, (NoConnection, HTTPClientError)):
        code = "connection"
    _tell(context, code, "")


def _tell(context: dict[str, Any], code: str, request_id: str) -> None:
    operation, began_at, path = context[_MARK]
    note_request(operation, code, time.monotonic() - began_at, request_id, path)
