"""The two requests of which there are many, without boto3's way to them: a small conditional PUT, and a GET.

`signature` signs, urllib3 sends, and what fails is told in botocore's errors: one table says what those mean. boto3
costs three times the processor time for the same bytes on the wire. What is not plain here, it does (docs/adr/0016).
"""

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import urllib3
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import create_urllib3_context, get_cert_path
from urllib3 import BaseHTTPResponse, exceptions
from urllib3.util.ssl_match_hostname import CertificateError

from history_sink_worker.s3 import hooks, wire
from history_sink_worker.s3.exchange import Answer, ask
from history_sink_worker.s3.lean_answers import find_error, leads_elsewhere, read_object
from history_sink_worker.s3.signature import sign
from history_sink_worker.store import Blob, Get, PastEnd, Put

LEAN_BYTES = 256 * 1024
"""A body from here on waits for `100 Continue`, which botocore knows how to do."""

_PLAIN_KEY = re.compile(r"(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*[A-Za-z0-9_~-][A-Za-z0-9._~-]*", re.ASCII)
_PLAIN_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", re.ASCII)
_PLAIN_REGION = re.compile(r"(?!aws-global$)[a-z][a-z0-9-]{0,61}[a-z0-9]", re.ASCII)
_PLAIN_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.-]*[A-Za-z0-9](:[0-9]{1,5})?/?", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PLAIN_META = re.compile(r"[A-Za-z0-9_.,:=/+-]+", re.ASCII)


class NotPlain(Exception):
    """Nothing was done: boto3 is to do it."""


class LeanWay:
    """To one bucket, addressed by its path. Safe to share between threads, and not between processes."""

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        region: str,
        keys: Callable[[], ReadOnlyCredentials],
        verify: str | bool,
        concurrency: int,
        timeout: urllib3.Timeout,
    ) -> None:
        """`keys` are asked for with each request. `verify`: a file of authorities, or True: certifi's."""
        self._endpoint, self._root, self._region, self._keys = endpoint.rstrip("/"), f"/{bucket}/", region, keys
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
        self._host = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
        options: dict[str, Any] = {"timeout": timeout, "maxsize": concurrency}
        kind: type[urllib3.HTTPConnectionPool] = urllib3.HTTPConnectionPool
        if parts.scheme == "https":
            kind = urllib3.HTTPSConnectionPool
            options |= {"ssl_context": create_urllib3_context(), "cert_reqs": "CERT_REQUIRED"}
            options["ca_certs"] = get_cert_path(verify)  # type: ignore[arg-type]  # a path, too
        self._pool, self._timeout = kind(host, port, **options), timeout

    def put(self, request: Put) -> str:
        """The new ETag. Raises as boto3 would, or `NotPlain`."""
        condition = {"If-None-Match": "*"}
        if request.if_match is not None:
            condition = {"If-Match": wire.quote_etag(request.if_match)}
        headers = {**condition, **{f"x-amz-meta-{name}": value for name, value in request.meta.items()}}
        answer = self._ask("PutObject", "PUT", request.key, headers, request.body)
        return wire.read_etag(answer.headers["etag"])

    def get(self, request: Get) -> Blob | PastEnd:
        """What was asked for. Raises as boto3 would, or `NotPlain`."""
        header = wire.range_header(request)
        answer = self._ask("GetObject", "GET", request.key, {"Range": header} if header else {})
        assert isinstance(answer, BaseHTTPResponse)
        with closing(answer):
            length = int(answer.headers["Content-Length"])
            size = wire.check_range(request, answer.headers.get("Content-Range"), length)
            if size is None:
                return PastEnd()
            with self._in_botocores_words():
                body = answer.read()
            return Blob(body, read_object(answer.headers, size))

    def _ask(
        self, operation: str, method: str, key: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> BaseHTTPResponse | Answer:
        """The answer, that is no error; of a GET its beginning. `hooks` tells of it as of boto3's."""
        path, began_at = f"/{key}", time.monotonic()  # as botocore names it to `hooks`
        try:
            answer, content = self._send(method, self._root + key, headers, body)
            error = find_error(operation, answer, content)
        except Exception as failure:
            hooks.tell(operation, hooks.name_failure(failure), began_at, "", path)
            raise
        status = error.response["ResponseMetadata"]["HTTPStatusCode"] if error else answer.status
        hooks.tell(operation, hooks.name_status(status), began_at, answer.headers.get("x-amz-request-id", ""), path)
        if error is not None:
            raise NotPlain if leads_elsewhere(error) else error
        return answer

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[BaseHTTPResponse | Answer, bytes]:
        """An answer, and what of its body is not the object's."""
        now = datetime.now(UTC)
        signed = sign(method, self._host, path, headers, body or b"", self._keys(), self._region, now)
        signed["User-Agent"] = "history-sink"  # which is not signed: a proxy may change it
        with self._in_botocores_words():
            if body is not None:
                whole = self._exchange(method, path, {"Host": self._host, **signed}, body)
                return whole, whole.body
            answer = self._pool.urlopen(
                method,
                path,
                None,
                signed,
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )
            return answer, b"" if answer.status < 300 else answer.read()

    def _exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """On one of the pool's connections, which goes back to it where it can be used again."""
        connection: Any = self._pool._get_conn()
        is_kept = False
        try:
            if connection.is_closed:
                connection.timeout = self._timeout.connect_timeout
                connection.connect()
            connection.sock.settimeout(self._timeout.read_timeout)
            answer = ask(connection.sock, method, path, headers, body)
            is_kept = not answer.is_last
            return answer
        finally:
            if not is_kept:
                connection.close()
            self._pool._put_conn(connection)

    @contextmanager
    def _in_botocores_words(self) -> Iterator[None]:
        """urllib3's errors as botocore's `URLLib3Session` says them."""
        try:
            yield
        except (exceptions.SSLError, ssl.SSLError, CertificateError) as error:
            raise SSLError(endpoint_url=self._endpoint, error=error) from error
        except (exceptions.NewConnectionError, socket.gaierror) as error:
            raise EndpointConnectionError(endpoint_url=self._endpoint, error=error) from error
        except exceptions.ConnectTimeoutError as error:
            raise ConnectTimeoutError(endpoint_url=self._endpoint, error=error) from error
        except (exceptions.ReadTimeoutError, TimeoutError) as error:
            raise ReadTimeoutError(endpoint_url=self._endpoint, error=error) from error
        except (exceptions.ProtocolError, HTTPException, OSError) as error:
            raise ConnectionClosedError(endpoint_url=self._endpoint, error=error, request=None) from error
        except Exception as error:
            raise HTTPClientError(error=error) from error


def is_plain_place(endpoint: str, bucket: str, region: str) -> bool:
    """Whether the address of an object there is what it looks like, and the region is to be signed as it is."""
    plain = (_PLAIN_ENDPOINT, endpoint), (_PLAIN_BUCKET, bucket), (_PLAIN_REGION, region)
    return all(pattern.fullmatch(text) for pattern, text in plain)


def is_plain(request: Put | Get) -> bool:
    """Whether nothing of a request has to be escaped, and its body does not wait for the store's word."""
    if not _PLAIN_KEY.fullmatch(request.key):
        return False
    if isinstance(request, Get):
        return True
    texts = (*request.meta, *request.meta.values())
    return len(request.body) < LEAN_BYTES and all(_PLAIN_META.fullmatch(text) for text in texts)
