"""The signature of requests to the store: AWS' published example, and botocore's signer beside ours."""

import string
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from history_sink_worker.s3.signature import sign

AWS_KEYS = ReadOnlyCredentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None, None)
HEADERS = [
    "If-None-Match",
    "If-Match",
    "Range",
    "Content-Type",
    "Content-MD5",
    "x-amz-meta-hs-messages",
    "x-amz-meta-A",
    "x-amz-checksum-crc32",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-context",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key-MD5",
]
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_characters="\x7f"), max_size=60)
WORDS = st.text(string.ascii_letters + string.digits + string.punctuation + " ", max_size=60)
SECRETS = st.text(string.ascii_letters + string.digits + "/+=", min_size=1, max_size=60)
HOSTS = st.sampled_from(["store", "store.example", "127.0.0.1"])


def test_awss_own_example() -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, GET Object."""
    at = datetime(2013, 5, 24, tzinfo=UTC)
    host, headers = "examplebucket.s3.amazonaws.com", {"Range": "bytes=0-9"}
    sent = sign("GET", host, "/test.txt", headers, b"", AWS_KEYS, "us-east-1", at)
    assert sent["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )
    assert sent["Range"] == "bytes=0-9"


class Request:
    """As much of one as botocore's signer looks at."""

    def __init__(self, method: str, url: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.url, self.body, self.data = method, url, body, body
        self.params: dict[str, str] = {}
        self.context: dict[str, Any] = {}
        self.headers = {"User-Agent": "history-sink", **headers}


@settings(max_examples=1000)
@given(
    method=st.sampled_from(["PUT", "GET", "HEAD", "DELETE"]),
    scheme=st.sampled_from(["http", "https"]),
    host=HOSTS,
    port=st.sampled_from([None, 9000, 8443]),
    key=TEXT,
    headers=st.dictionaries(st.sampled_from(HEADERS), WORDS),
    body=st.binary(max_size=200),
    keys=st.builds(ReadOnlyCredentials, SECRETS, SECRETS, st.none() | SECRETS, st.none()),
    region=st.sampled_from(["us-east-1", "eu-central-1", "anywhere"]),
)
def test_it_is_what_botocore_signs(
    method: str,
    scheme: str,
    host: str,
    port: int | None,
    key: str,
    headers: dict[str, str],
    body: bytes,
    keys: ReadOnlyCredentials,
    region: str,
) -> None:
    place, path = host if port is None else f"{host}:{port}", f"/bucket/{quote(key, safe='/~')}"
    theirs = Request(method, f"{scheme}://{place}{path}", headers, body)
    # A body is left unsigned over TLS where its MD5 is sent: ours sends none, and signs each.
    theirs.context["client_config"] = type("Config", (), {"s3": {"payload_signing_enabled": True}})
    S3SigV4Auth(keys, "s3", region).add_auth(theirs)  # type: ignore[arg-type]  # as much as it looks at
    now = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    del theirs.headers["User-Agent"]
    assert sign(method, place, path, headers, body, keys, region, now) == theirs.headers


@pytest.mark.parametrize("changed", ["method", "host", "path", "header", "body", "secret", "region", "day"])
def test_all_that_is_signed_counts(changed: str) -> None:
    def signature(**other: Any) -> str:
        said: dict[str, Any] = {"method": "PUT", "host": "store", "path": "/bucket/key", "header": "*", "body": b"{}"}
        said |= {"secret": "secret", "region": "us-east-1", "day": 1, **other}
        keys = ReadOnlyCredentials("access", said["secret"], None, None)
        at, headers = datetime(2026, 1, said["day"], tzinfo=UTC), {"If-None-Match": said["header"]}
        sent = sign(said["method"], said["host"], said["path"], headers, said["body"], keys, said["region"], at)
        return sent["Authorization"].rpartition("=")[2]

    other = {"body": b"[]", "day": 2}.get(changed, "other")
    assert signature(**{changed: other}) != signature()
