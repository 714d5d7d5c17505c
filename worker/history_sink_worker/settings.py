"""The worker's settings: read from the environment once, and nowhere else.

Two stages. `BrokerSettings` is what the Celery app needs: Flower and ``celery inspect`` load the
app too, and have no store. `WorkerSettings` is what a worker needs to start: all of it.
"""

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self, TypeVar
from urllib.parse import SplitResult, urlsplit

from history_sink.address import check_certificates
from history_sink.broker_urls import REDIS_SCHEMES, check_broker, check_redis, for_redis_py
from history_sink.errors import ConfigurationError
from history_sink.names import NAMESPACE, check_names
from history_sink.secret_files import read_secrets
from history_sink.settings import DEFAULT_PREFIX, normal_prefix

_URLS = tuple(NAMESPACE + name for name in ("BROKER_URL", "RESULT_URL", "REDIS_URL"))
_KEYS = tuple(NAMESPACE + name for name in ("S3_ACCESS_KEY", "S3_SECRET_KEY"))

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """What the Celery app needs. URLs may hold passwords, and are in no repr.

    `result_url` None: no results are kept. `redis_url` None: no hints, each save costs a LIST.
    `log_format` is ``auto`` (JSON unless on a terminal), ``json`` or ``text``. `http_address` is the host and port
    where a worker answers /live, /ready and /metrics; None: nowhere.
    """

    broker_url: str | None = field(repr=False)
    result_url: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    visibility_timeout_seconds: float
    result_expires_seconds: float
    log_format: str
    log_level: str
    http_address: tuple[str, int] | None

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Nothing is required. Raises ConfigurationError, naming all that is malformed."""
        check_names(env)
        variables = _Variables(read_secrets(env, _URLS))
        settings = cls._read(variables, variables.get("BROKER_URL", _broker_url, None))
        variables.check()
        return settings

    @classmethod
    def _read(cls, variables: "_Variables", broker_url: str | None) -> Self:
        redis = None
        if broker_url and ";" not in broker_url and _scheme(broker_url) in REDIS_SCHEMES:
            redis = broker_url
        return cls(
            broker_url=broker_url,
            result_url=variables.get("RESULT_URL", _any_url, redis),
            redis_url=variables.get("REDIS_URL", _redis_url, for_redis_py(redis) if redis else None),
            visibility_timeout_seconds=variables.get("VISIBILITY_TIMEOUT_SECONDS", _seconds, 60.0),
            result_expires_seconds=variables.get("RESULT_EXPIRES_SECONDS", _seconds, 86_400.0),
            log_format=variables.get("LOG_FORMAT", _log_format, "auto"),
            log_level=variables.get("LOG_LEVEL", _log_level, "INFO"),
            http_address=variables.get("HTTP_ADDRESS", _host_and_port, None),
        )


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs. Credentials are in no repr.

    `endpoint` is a URL without a final ``/``; `prefix` ends in one. `settle_seconds` is the
    design's T. A log that nobody has written to for `idle_seconds` is folded. An answer of more
    than `resolve_cap_bytes` is refused. `sse` and `sse_kms_key_id` are what the store is told to encrypt with.
    """

    broker: BrokerSettings
    endpoint: str
    bucket: str
    prefix: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    region: str
    create_bucket: bool
    settle_seconds: float
    idle_seconds: float
    resolve_cap_bytes: int
    sse: str | None = None
    sse_kms_key_id: str | None = None
    ca_file: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Raises ConfigurationError, naming all that is missing and all that is malformed."""
        check_names(env)
        variables = _Variables(read_secrets(env, _URLS + _KEYS))
        settings = cls(
            endpoint=variables.need("S3_ENDPOINT", _endpoint),
            bucket=variables.need("S3_BUCKET", _bucket),
            prefix=variables.prefix(),
            access_key=variables.need("S3_ACCESS_KEY", str),
            secret_key=variables.need("S3_SECRET_KEY", str),
            region=variables.get("S3_REGION", str, "us-east-1"),
            create_bucket=variables.get("S3_CREATE_BUCKET", _flag, False),
            settle_seconds=variables.get("SETTLE_SECONDS", _seconds, 7200.0),
            idle_seconds=variables.get("IDLE_SECONDS", _seconds, 60.0),
            resolve_cap_bytes=variables.get("RESOLVE_CAP_BYTES", _size, 8 * 1024 * 1024),
            sse=variables.get("S3_SSE", _sse, None),
            sse_kms_key_id=variables.get("S3_SSE_KMS_KEY_ID", str, None),
            ca_file=variables.get("S3_CA_FILE", _readable_file, None),
            broker=BrokerSettings._read(variables, variables.need("BROKER_URL", _broker_url)),
        )
        variables.check()
        if settings.sse_kms_key_id and settings.sse != "aws:kms":
            raise ConfigurationError(f"{NAMESPACE}S3_SSE_KMS_KEY_ID is for {NAMESPACE}S3_SSE=aws:kms alone")
        return settings


class _Variables:
    """Reads variables and collects what is wrong, so that it can all be said at once.

    An empty or blank variable is a missing one: compose files and systemd units write them so.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._missing: list[str] = []
        self._malformed: list[str] = []

    def get(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """`parse` raises ValueError with a text that goes on "<variable> must be …"."""
        text = self._env.get(NAMESPACE + name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self._malformed.append(f"{NAMESPACE}{name} must be {error}")
            return default

    def need(self, name: str, parse: Callable[[str], str]) -> str:
        if not self._env.get(NAMESPACE + name, "").strip():
            self._missing.append(NAMESPACE + name)
        return self.get(name, parse, "")

    def prefix(self) -> str:
        try:
            return normal_prefix(self._env.get(f"{NAMESPACE}S3_PREFIX"))
        except ConfigurationError as error:
            self._malformed.append(str(error))
            return DEFAULT_PREFIX

    def check(self) -> None:
        missing = [f"not set: {', '.join(self._missing)}"] if self._missing else []
        if missing or self._malformed:
            raise ConfigurationError("; ".join(missing + self._malformed))


def _split(url: str) -> SplitResult | None:
    """None where it is no URL. What `urlsplit` has to say of one may quote a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # it is not looked at before
    except ValueError:
        return None
    return parts if parts.scheme and "://" in url else None


def _scheme(url: str) -> str:
    parts = _split(url)
    return parts.scheme if parts else ""


def _broker_url(text: str) -> str:
    if _scheme(text) != "sentinel":  # refused with its reason where it is connected to
        check_broker(text)
    return check_certificates(text)


def _any_url(text: str) -> str:
    if _scheme(text) in REDIS_SCHEMES and ";" not in text:
        check_redis(text)
    elif not all(map(_scheme, text.split(";"))):
        raise ValueError("the URL of a Celery result backend, such as redis://host:6379/0")
    return check_certificates(text)


def _redis_url(text: str) -> str:
    check_redis(text, REDIS_SCHEMES | {"unix"})
    return check_certificates(for_redis_py(text))


def _endpoint(text: str) -> str:
    parts = _split(text)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("the URL of an S3 endpoint, such as https://minio.example:9000")
    if parts.username is not None or parts.query or parts.fragment or parts.path.strip("/"):
        raise ValueError("a URL of scheme, host and port only (what a path would sign, no store could verify)")
    if not re.fullmatch(r"(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*\.?|[0-9a-f:.]+(%\w+)?", parts.hostname):
        raise ValueError("the URL of a host by a name of letters, digits and - alone: S3's signers take no other")
    return text.rstrip("/")


def _bucket(text: str) -> str:
    # The rules: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    is_name = re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", text) and not re.search(r"\.\.|\.-|-\.", text)
    if is_name and not re.fullmatch(r"\d+(\.\d+){3}", text):
        return text
    raise ValueError("a bucket's name as S3 has them: 3 to 63 of a-z 0-9 . - (no capitals, no address)")


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (math.isfinite(number) and number > 0):
        raise ValueError("a number of seconds above 0")
    return number


def _size(text: str) -> int:
    if not re.fullmatch(r"0*[1-9]\d{0,17}", text, re.ASCII):
        raise ValueError("a whole number of bytes above 0")
    return int(text)


def _flag(text: str) -> bool:
    flag = {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    if flag is None:
        raise ValueError("true or false")
    return flag


def _sse(text: str) -> str:
    if text not in ("AES256", "aws:kms"):
        raise ValueError("AES256 or aws:kms")
    return text


def _readable_file(text: str) -> str:
    try:
        with open(text, "rb"):
            return text
    except OSError as error:
        raise ValueError(f"a file that can be read: {error.strerror}") from None


def _log_format(text: str) -> str:
    if text.lower() not in ("auto", "json", "text"):
        raise ValueError("auto, json or text")
    return text.lower()


def _host_and_port(text: str) -> tuple[str, int]:
    parts = _split(f"http://{'127.0.0.1:' if text.isascii() and text.isdigit() else ''}{text}")
    if parts is None or not parts.hostname or not parts.port or parts.netloc != parts.geturl().removeprefix("http://"):
        raise ValueError("a port on loopback, such as 9808, or host:port")
    return parts.hostname, parts.port


def _log_level(text: str) -> str:
    if text.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        raise ValueError("DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return text.upper()
