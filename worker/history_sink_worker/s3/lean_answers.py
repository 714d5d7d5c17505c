"""What an answer to a request of `lean` says: an error as botocore's parser reads it, or what an object is. Pure."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast
from xml.etree import ElementTree

from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError, create_parser
from botocore.utils import parse_timestamp
from urllib3 import BaseHTTPResponse

from history_sink_worker.s3 import wire
from history_sink_worker.s3.exchange import Answer
from history_sink_worker.store import Info

_META = "x-amz-meta-"
_ELSEWHERE = ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException")


def find_error(operation: str, answer: BaseHTTPResponse | Answer, content: bytes) -> ClientError | None:
    """The error in an answer; None: it is none. Raises `ResponseParserError` for a 200 that is no XML."""
    status = answer.status
    if status < 300:
        if not (content and _is_error(content)):
            return None
        status = 500  # S3 may find out late, and has said 200 then
    if status < 301:  # botocore's parser takes it for a success
        parsed: dict[str, Any] = {}
    else:
        shown: Any = {"status_code": status, "headers": answer.headers, "body": content}
        parsed = create_parser("rest-xml").parse(shown, None)  # type: ignore[arg-type]  # an error has no shape
    parsed.setdefault("ResponseMetadata", {})["HTTPStatusCode"] = status
    return ClientError(cast("Any", parsed), operation)


def _is_error(content: bytes) -> bool:
    try:
        return ElementTree.fromstring(content).tag == "Error"  # of the store's, as botocore reads it
    except ElementTree.ParseError:
        raise ResponseParserError("not XML") from None


def leads_elsewhere(error: ClientError) -> bool:
    """Whether botocore would ask another region, or another address, by itself."""
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status in (301, 302, 307) or error.response.get("Error", {}).get("Code") in _ELSEWHERE


def read_object(headers: Mapping[str, str], size_bytes: int) -> Info:
    """What a GET says of the whole object. Raises KeyError or ValueError where it is not what S3 answers."""
    found = [(name.lower(), value) for name, value in headers.items()]
    meta = {name.removeprefix(_META): value for name, value in found if name.startswith(_META)}
    return wire.read_info({"ETag": headers["ETag"], "Metadata": meta, "LastModified": _read_date(headers)}, size_bytes)


def _read_date(headers: Mapping[str, str]) -> Any:
    text = headers["Last-Modified"]
    if text.endswith(" GMT"):
        return parsedate_to_datetime(text)
    return parse_timestamp(text)
