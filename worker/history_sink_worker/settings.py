"""The worker's settings: read from the environment once, and nowhere else.

Two stages. `BrokerSettings` is what the Celery app needs: Flower and ``celery inspect`` load the
app too, and have no store. `WorkerSettings` is what a worker needs to start: all of it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from history_sink.errors import ConfigurationError
from history_sink.protocol.broker_urls import REDIS_SCHEMES, for_redis_py
from history_sink.protocol.names import NAMESPACE, check_names, normal_prefix
from history_sink.protocol.secret_files import read_secrets
from history_sink.protocol.tenants import TENANTS, prefix_for
from history_sink_worker import values
from history_sink_worker.floors import find_low
from history_sink_worker.keys import FIELDS, KeyFiles
from history_sink_worker.variables import Variables

SEARCH_DIR = f"{NAMESPACE}SEARCH_DIR"
_URLS = tuple(NAMESPACE + name for name in ("BROKER_URL", "RESULT_URL", "REDIS_URL"))


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """What the Celery app needs. URLs may hold passwords, and are in no repr.

    `result_url` None: no results are kept. `redis_url` None: no hints, each save costs a LIST.
    `log_format` is ``auto`` (JSON unless on a terminal), ``json`` or ``text``. `http_address` is the host and port
    where a worker answers /live, /ready and /metrics; None: nowhere. `tenants` are those that are served; none: the
    deployment has no tenants.
    """

    broker_url: str | None = field(repr=False)
    result_url: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    visibility_timeout_seconds: float
    result_expires_seconds: float
    log_format: str
    log_level: str
    http_address: tuple[str, int] | None
    tenants: tuple[str, ...] = ()

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Nothing is required. Raises ConfigurationError, naming all that is malformed."""
        check_names(env)
        variables = Variables(read_secrets(env, (*_URLS, TENANTS)))
        settings = cls._read(variables, variables.get("BROKER_URL", values.broker_url, None))
        variables.check()
        return settings

    @classmethod
    def _read(cls, variables: Variables, broker_url: str | None) -> Self:
        redis = None
        if broker_url and values.scheme_of(broker_url) in REDIS_SCHEMES:
            redis = broker_url
        return cls(
            broker_url=broker_url,
            result_url=variables.get("RESULT_URL", values.any_url, redis),
            redis_url=variables.get("REDIS_URL", values.redis_url, for_redis_py(redis) if redis else None),
            visibility_timeout_seconds=variables.get("VISIBILITY_TIMEOUT_SECONDS", values.seconds, 60.0),
            result_expires_seconds=variables.get("RESULT_EXPIRES_SECONDS", values.seconds, 86_400.0),
            log_format=variables.get("LOG_FORMAT", values.log_format, "auto"),
            log_level=variables.get("LOG_LEVEL", values.log_level, "INFO"),
            http_address=variables.get("HTTP_ADDRESS", values.host_and_port, None),
            tenants=variables.get("TENANTS", values.tenants, ()) or variables.get("TENANT", values.tenants, ()),
        )


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs. Credentials are in no repr.

    `endpoint` is a URL without a final ``/``; `prefix` ends in one. `settle_seconds` is the
    design's T. A log that nobody has written to for `idle_seconds` is folded. An answer of more
    than `resolve_cap_bytes` is refused. `sse` and `sse_kms_key_id` are what the store is told to encrypt with.

    `uses_default_chain`: the keys are empty, and are looked for where AWS' tools look, in `profile` if one is named.
    Keys that are in `key_files` may change at any time; those here are as they were first. A search worker keeps its
    index in `search_dir`. `tenant`: whose all of this is, where there are tenants and this is for one.
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
    proxy: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    key_files: KeyFiles = field(default_factory=KeyFiles)
    uses_default_chain: bool = False
    profile: str | None = None
    search_dir: str | None = None
    tenant: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Raises ConfigurationError, naming all that is missing and all that is malformed."""
        check_names(env)
        variables = Variables(read_secrets(env, (*_URLS, *FIELDS, TENANTS, NAMESPACE + "S3_PROXY")))
        is_default = variables.get("S3_CREDENTIALS", values.credentials, "keys") == "default"
        need_key = variables.allow if is_default else variables.need
        settings = cls(
            endpoint=variables.need("S3_ENDPOINT", values.endpoint),
            bucket=variables.need("S3_BUCKET", values.bucket),
            prefix=variables.prefix(),
            access_key=need_key("S3_ACCESS_KEY", str),
            secret_key=need_key("S3_SECRET_KEY", str),
            session_token=variables.get("S3_SESSION_TOKEN", str, None),
            key_files=KeyFiles.of(env),
            uses_default_chain=is_default,
            profile=variables.get("S3_PROFILE", str, None),
            region=variables.get("S3_REGION", str, "us-east-1"),
            create_bucket=variables.get("S3_CREATE_BUCKET", values.flag, False),
            settle_seconds=variables.get("SETTLE_SECONDS", values.seconds, 7200.0),
            idle_seconds=variables.get("IDLE_SECONDS", values.seconds, 60.0),
            resolve_cap_bytes=variables.get("RESOLVE_CAP_BYTES", values.size, 8 * 1024 * 1024),
            sse=variables.get("S3_SSE", values.sse, None),
            sse_kms_key_id=variables.get("S3_SSE_KMS_KEY_ID", str, None),
            ca_file=variables.get("S3_CA_FILE", values.readable_file, None),
            proxy=variables.get("S3_PROXY", values.proxy, None),
            search_dir=variables.get("SEARCH_DIR", str, None),
            broker=BrokerSettings._read(variables, variables.need("BROKER_URL", values.broker_url)),
        )
        variables.check()
        settings._check_pairs()
        tenants = settings.broker.tenants
        return settings.for_tenant(tenants[0]) if len(tenants) == 1 else settings

    def for_tenant(self, tenant: str) -> Self:
        """What is done for one of several. Raises ConfigurationError where the prefix gets too long."""
        return replace(self, tenant=tenant, prefix=normal_prefix(prefix_for(self.prefix, tenant)))

    @property
    def home_prefix(self) -> str:
        """The deployment's own prefix. With tenants it has a folder for each, and no session itself."""
        own = self.prefix if self.tenant is None else self.prefix.removesuffix(prefix_for("", self.tenant))
        return f"{own}*/" if self.broker.tenants else own

    def find_low(self) -> tuple[str, ...]:
        """The names of settings below which a promise breaks: there are some only where that is allowed for tests."""
        values = {
            "SETTLE_SECONDS": self.settle_seconds,
            "VISIBILITY_TIMEOUT_SECONDS": self.broker.visibility_timeout_seconds,
            "RESULT_EXPIRES_SECONDS": self.broker.result_expires_seconds,
            "RESOLVE_CAP_BYTES": self.resolve_cap_bytes,
        }
        return tuple(NAMESPACE + name for name in find_low(values))

    def _check_pairs(self) -> None:
        if self.sse_kms_key_id and self.sse != "aws:kms":
            raise ConfigurationError(f"{NAMESPACE}S3_SSE_KMS_KEY_ID is for {NAMESPACE}S3_SSE=aws:kms alone")
        if self.profile and not self.uses_default_chain:
            raise ConfigurationError(f"{NAMESPACE}S3_PROFILE is for {NAMESPACE}S3_CREDENTIALS=default alone")
        named = [variable for variable, name in FIELDS.items() if getattr(self, name)]
        if named and self.uses_default_chain:
            both = " and ".join([f"{NAMESPACE}S3_CREDENTIALS=default", *named])
            raise ConfigurationError(f"{both} are set: leave one of them out")
        if self.broker.tenants and values.scheme_of(self.broker.result_url or "") not in {"", *REDIS_SCHEMES}:
            # Elsewhere an answer may go to wherever the question says.
            raise ConfigurationError(f"{NAMESPACE}RESULT_URL must be a Redis where there are tenants")
