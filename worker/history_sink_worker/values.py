"""What the text of a variable means. Each raises ValueError with words that go on "<variable> must be …"."""

import math
import re
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from history_sink.protocol.broker_urls import REDIS_SCHEMES, check_broker, check_redis, for_redis_py
from history_sink.protocol.tenants import check_tenant
from history_sink.protocol.tls import check_certificates


def _split(url: str) -> SplitResult | None:
    """None where it is no URL. What `urlsplit` has to say of one may quote a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # it is not looked at before
    except ValueError:
        return None
    return parts if parts.scheme and "://" in url else None


def scheme_of(url: str) -> str:
    parts = _split(url)
    return parts.scheme if parts else ""


def broker_url(text: str) -> str:
    if scheme_of(text) != "sentinel":  # refused with its reason where it is connected to
        check_broker(text)
    return check_certificates(text)


def any_url(text: str) -> str:
    if scheme_of(text) in REDIS_SCHEMES:
        check_redis(text)
    elif not scheme_of(text):
        raise ValueError("the URL of a Celery result backend, such as redis://host:6379/0")
    return check_certificates(text)


def redis_url(text: str) -> str:
    check_redis(text, REDIS_SCHEMES | {"unix"})
    return check_certificates(for_redis_py(text))


def endpoint(text: str) -> str:
    parts = _split(text)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("the URL of an S3 endpoint, such as https://minio.example:9000")
    if parts.username is not None or parts.query or parts.fragment or parts.path.strip("/"):
        raise ValueError("a URL of scheme, host and port only (what a path would sign, no store could verify)")
    if not re.fullmatch(r"(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*\.?|[0-9a-f:.]+(%\w+)?", parts.hostname):
        raise ValueError("the URL of a host by a name of letters, digits and - alone: S3's signers take no other")
    return text.rstrip("/")


def proxy(text: str) -> str:
    parts = _split(text)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise ValueError("the URL of a HTTP proxy, such as http://proxy.example:3128")
    return text.rstrip("/")


def bucket(text: str) -> str:
    # The rules: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    is_name = re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", text) and not re.search(r"\.\.|\.-|-\.", text)
    if is_name and not re.fullmatch(r"\d+(\.\d+){3}", text):
        return text
    raise ValueError("a bucket's name as S3 has them: 3 to 63 of a-z 0-9 . - (no capitals, no address)")


def seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (math.isfinite(number) and number > 0):
        raise ValueError("a number of seconds above 0")
    return number


def size(text: str) -> int:
    if not re.fullmatch(r"0*[1-9]\d{0,17}", text, re.ASCII):
        raise ValueError("a whole number of bytes above 0")
    return int(text)


def flag(text: str) -> bool:
    flag = {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    if flag is None:
        raise ValueError("true or false")
    return flag


def credentials(text: str) -> str:
    if text not in ("keys", "default"):
        raise ValueError("keys (in two variables, or files) or default (where AWS' tools look for them)")
    return text


def tenants(text: str) -> tuple[str, ...]:
    names = re.split(r"[\s,]+", text.strip(" ,\n\t"))
    try:
        for name in names:
            check_tenant(name)
    except ValueError as error:
        raise ValueError(f"names of tenants, each {error}") from None
    if len(set(names)) < len(names):
        raise ValueError("names of tenants, each of them once")
    return tuple(names)


def readable_file(text: str) -> str:
    try:
        with open(text, "rb"):
            return text
    except OSError as error:
        raise ValueError(f"a file that can be read: {error.strerror}") from None


def host_and_port(text: str) -> tuple[str, int]:
    parts = _split(f"http://{'127.0.0.1:' if text.isascii() and text.isdigit() else ''}{text}")
    if parts is None or not parts.hostname or not parts.port or parts.netloc != parts.geturl().removeprefix("http://"):
        raise ValueError("a port on loopback, such as 9808, or host:port")
    return parts.hostname, parts.port


def _one_of(*words: str, write: Callable[[str], str] = str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if write(text) not in words:
            raise ValueError(f"{', '.join(words[:-1])} or {words[-1]}")
        return write(text)

    return read


sse = _one_of("AES256", "aws:kms")
log_format = _one_of("auto", "json", "text", write=str.lower)
log_level = _one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", write=str.upper)
