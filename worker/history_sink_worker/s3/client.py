"""S3, and boto3's one home: a request of the archive goes in, a reply or our error comes out."""

from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import ClientError

from history_sink_worker.keys import Keys
from history_sink_worker.s3 import multipart, wire
from history_sink_worker.s3.connection import Connection, addressing
from history_sink_worker.s3.credentials import Source
from history_sink_worker.s3.errors import (
    FOREIGN,
    code_and_status,
    is_answer,
    meaning_of,
    translate,
)
from history_sink_worker.s3.lean import LEAN_BYTES, NotPlain, is_plain, is_plain_place
from history_sink_worker.s3.meanings import OF_KEYS
from history_sink_worker.store import (
    Blob,
    Delete,
    Get,
    Head,
    Info,
    List,
    NoBucket,
    Page,
    PastEnd,
    Put,
    Reply,
    Request,
    StoreError,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PAGE_KEYS = 1000
EXPECT_BYTES = LEAN_BYTES
"""From here on a body waits for `100 Continue`: a 412 then costs no body, but success a round trip."""


class S3Store:
    """One bucket. Safe to share between threads; after a fork each process makes its own client.

    No call is repeated here: if the answer to a conditional write was lost, the same write again
    would get 412 from our own success. The archive looks instead.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        bucket: str,
        access_key: str,
        secret_key: str,
        session_token: str | None = None,
        source: Source | None = None,
        region: str = "us-east-1",
        concurrency: int = 10,
        connect_timeout_seconds: float = 3.0,
        read_timeout_seconds: float = 20.0,
        sse: str | None = None,
        sse_kms_key_id: str | None = None,
        ca_file: str | None = None,
        proxy: str | None = None,
        lean: bool = True,
    ) -> None:
        """`source` takes the place of the keys, where those may change.

        `concurrency` is how many threads call at once: so many connections are kept open.

        `sse` and `sse_kms_key_id` go with each write (S3's x-amz-server-side-encryption); None: as the bucket says.
        `proxy` is the URL of a HTTP proxy that all requests go through; None: no proxy, whatever HTTPS_PROXY says.
        `lean`: small conditional PUTs and GETs go without boto3, where endpoint and settings are plain (`s3.lean`).
        `ca_file` holds the authorities that a https endpoint's certificate is checked with; None: certifi's.
        """
        self.endpoint = endpoint
        self.bucket = bucket
        self._region = region
        # botocore would ask HTTP_PROXY, HTTPS_PROXY and NO_PROXY if it were told nothing.
        self.proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._encryption = wire.encryption(sse, sse_kms_key_id)
        config = Config(
            connect_timeout=connect_timeout_seconds,
            read_timeout=read_timeout_seconds,
            max_pool_connections=concurrency,
            retries={"total_max_attempts": 1, "mode": "standard"},
            # By default botocore sends trailers that many S3-compatible stores do not know.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # These two are a quarter of the CPU time of a small PUT.
            parameter_validation=False,
            user_agent="history-sink",
            s3={"addressing_style": addressing(endpoint)},
            proxies=self.proxies,
        )
        is_by_path = addressing(endpoint) == "path" and is_plain_place(endpoint, bucket, region)
        self._is_plain = lean and is_by_path and not (self.proxies or self._encryption)
        keys = Keys(access_key, secret_key, session_token)
        # botocore would ask REQUESTS_CA_BUNDLE if it were told nothing.
        self.connection = Connection(endpoint, region, keys, source, ca_file or True, config)

    def _client(self) -> "S3Client":
        return self.connection.client()

    def check_bucket(self, prefix: str = "") -> None:
        """Return if the bucket is there and what begins with `prefix` may be listed.

        LIST and not HEAD, whose answer has no body, and so can't say what is wrong.

        Raises:
            NoBucket: the bucket is missing.
            Away: the store is.
            Denied: the credentials are unknown, or may not list `prefix`.
        """
        try:
            self._list(List(prefix))
        except FOREIGN as error:
            if code_and_status(error)[0] == "NoSuchBucket":
                raise NoBucket(f'there is no bucket "{self.bucket}" at {self.endpoint}') from None
            raise self._error(error, "LIST", prefix) from None

    def create_bucket(self) -> None:
        """Create the bucket; one that exists is left as it is. Raises `StoreError`."""
        place: Any = {}
        if self._region != "us-east-1":  # S3's default, which it does not accept by name
            place = {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        try:
            self._client().create_bucket(Bucket=self.bucket, **place)
        except FOREIGN as error:
            code, _ = code_and_status(error)
            if code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise self._error(error, "CREATE", "") from None

    def perform(self, request: Request) -> Reply:
        """Do what `request` asks for; the reply is what its docstring says.

        Raises:
            Away: the same request may succeed later. A write may even have been done.
            Denied: the store does not let us.
            Rejected: the store refuses this very request, and always will.
        """
        try:
            return self._answer(request)
        except FOREIGN as error:
            meaning = meaning_of(error)
            if is_answer(request, meaning):
                return PastEnd() if meaning == "past_end" else None
            raise self._error(error, type(request).__name__.upper(), _target(request)) from None

    def _answer(self, request: Request) -> Reply:
        if self._is_plain and isinstance(request, Put | Get) and is_plain(request):
            way = self.connection.lean_way(self.bucket)
            with suppress(NotPlain):
                return way.put(request) if isinstance(request, Put) else way.get(request)
        match request:
            case Put():
                return self._put(request)
            case Get():
                return self._get(request)
            case Head():
                return self._head(request)
            case List():
                return self._list(request)
            case Delete():
                self._delete(request)
                return None
            case _:
                return multipart.perform(self._client(), self.bucket, request, self._encryption)

    def _put(self, request: Put) -> str:
        options: Any = {"IfNoneMatch": "*", **self._encryption}
        if request.if_match is not None:
            options = {"IfMatch": wire.quote_etag(request.if_match), **self._encryption}
        # botocore makes bytes a file, and sends every file with `Expect: 100-continue`.
        body: Any = request.body
        if len(body) < EXPECT_BYTES:
            body = bytearray(body)
        answer = self._client().put_object(
            Bucket=self.bucket, Key=request.key, Body=body, Metadata=request.meta, **options
        )
        return wire.read_etag(answer["ETag"])

    def _get(self, request: Get) -> Blob | PastEnd:
        header = wire.range_header(request)
        wanted: Any = {"Range": header} if header else {}
        answer = self._client().get_object(Bucket=self.bucket, Key=request.key, **wanted)
        with closing(answer["Body"]) as body:
            size = wire.check_range(request, answer.get("ContentRange"), answer["ContentLength"])
            if size is None:
                return PastEnd()
            return Blob(body.read(), wire.read_info(answer, size))

    def _head(self, request: Head) -> Info:
        answer = self._client().head_object(Bucket=self.bucket, Key=request.key)
        return wire.read_info(answer, answer["ContentLength"])

    def _list(self, request: List) -> Page:
        options: Any = {"StartAfter": request.after} if request.after else {}
        if request.by_folder:
            options["Delimiter"] = "/"
        answer = self._client().list_objects_v2(Bucket=self.bucket, Prefix=request.prefix, MaxKeys=PAGE_KEYS, **options)
        return wire.read_page(answer, request)

    def _delete(self, request: Delete) -> None:
        if not request.keys:
            return  # S3 calls an empty list malformed
        answer = self._client().delete_objects(
            Bucket=self.bucket,
            Delete={"Objects": [{"Key": key} for key in request.keys], "Quiet": True},
        )
        for trouble in answer.get("Errors", ()):  # in a 200
            if trouble["Code"] != "NoSuchKey":
                error = ClientError({"Error": {"Code": trouble["Code"]}}, "DeleteObjects")
                raise self._error(error, "DELETE", trouble["Key"])

    def _error(self, error: Exception, verb: str, target: str) -> StoreError:
        if code_and_status(error)[0] in OF_KEYS:
            self.connection.doubt()
        return translate(error, f"{verb} s3://{self.bucket}/{target}", self.endpoint)


def _target(request: Request) -> str:
    match request:
        case List():
            return request.prefix
        case Delete():
            more = len(request.keys) - 1
            return f"{request.keys[0]} and {more} more" if more else request.keys[0]
        case _:
            return request.key
