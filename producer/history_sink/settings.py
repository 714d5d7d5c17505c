"""What the producer reads from its environment, once."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from history_sink.errors import ConfigurationError
from history_sink.protocol.broker_urls import REDIS_SCHEMES, check_broker, check_redis
from history_sink.protocol.names import DEFAULT_PREFIX, S3_PREFIX, check_names, normal_prefix
from history_sink.protocol.secret_files import read_secrets
from history_sink.protocol.tenants import TENANT, prefix_for, read_tenant

BROKER_URL = "CODETETHER_HISTORY_BROKER_URL"
RESULT_URL = "CODETETHER_HISTORY_RESULT_URL"
FILTERS = "CODETETHER_HISTORY_FILTERS"
S3_BUCKET = "CODETETHER_HISTORY_S3_BUCKET"


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """Where the queue is. Without `broker_url` the sink is disabled.

    `result_url` is a Redis; without it, and without a Redis as the broker, there is nothing to read answers from:
    saves go out, reads raise or say so. `bucket` and `prefix` spare a pointer the question to a worker.
    `patience_seconds` is how long the broker may take to connect, and to answer: a save keeps its agent waiting for
    about twice that where the broker hangs. No variable sets it. `filters` names what each line goes through before it
    leaves the process, in this order: ``redact``, ``seal``, or what another package has under a name. `tenant` is whose
    sessions these are in a deployment that has tenants.
    Raises `ConfigurationError`, naming the variable and never its value.
    """

    broker_url: str | None = field(default=None, repr=False)
    result_url: str | None = field(default=None, repr=False)
    bucket: str | None = None
    prefix: str = DEFAULT_PREFIX  # its last slash may be left out
    patience_seconds: float = 0.5
    filters: tuple[str, ...] = ()
    tenant: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefix", normal_prefix(self.prefix))
        object.__setattr__(self, "tenant", read_tenant(self.tenant))
        if self.broker_url:
            _check_url(BROKER_URL, self.broker_url, check_broker)
        if self.result_url:
            _check_url(RESULT_URL, self.result_url, check_redis)
        elif self.broker_url and urlsplit(self.broker_url).scheme in REDIS_SCHEMES:
            object.__setattr__(self, "result_url", self.broker_url)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "ProducerSettings":
        """Read `env` (default: the process's environment). An empty variable counts as unset.

        A URL may hold a password: ``…_BROKER_URL_FILE`` and ``…_RESULT_URL_FILE`` name files to read them from.
        """
        env = os.environ if env is None else env
        check_names(env)
        env = read_secrets(env, (BROKER_URL, RESULT_URL))
        return cls(
            broker_url=env.get(BROKER_URL, "").strip() or None,
            result_url=env.get(RESULT_URL, "").strip() or None,
            bucket=env.get(S3_BUCKET, "").strip() or None,
            prefix=env.get(S3_PREFIX, DEFAULT_PREFIX),
            filters=tuple(name for each in env.get(FILTERS, "").split(",") if (name := each.strip())),
            tenant=read_tenant(env.get(TENANT)),
        )

    @property
    def home_prefix(self) -> str:
        """Where the sessions lie in the bucket."""
        return prefix_for(self.prefix, self.tenant)

    @property
    def is_enabled(self) -> bool:
        return bool(self.broker_url)


def _check_url(variable: str, url: str, check: Callable[[str], None]) -> None:
    try:
        check(url)
    except ValueError as error:
        raise ConfigurationError(f"{variable} must be {error}") from None
