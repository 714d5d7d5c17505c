"""The variables of producer and worker: one environment often holds the names of both, and a misspelt one of none."""

import difflib
from collections.abc import Iterable

from history_sink.errors import ConfigurationError, Malformed
from history_sink.protocol.contract import check_prefix

NAMESPACE = "CODETETHER_HISTORY_"
S3_PREFIX = f"{NAMESPACE}S3_PREFIX"
DEFAULT_PREFIX = "history/"
SECRETS = ("BROKER_URL", "RESULT_URL", "REDIS_URL", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_SESSION_TOKEN", "S3_PROXY")
SINKS_ALONE = ("FILTERS", "REDACT_FILE", "SEAL_MASTER_FILE", "SEAL_MASTER_COMMAND", "SEAL_KEYS_FOLDER")
"""What a producer reads, and no worker; but search workers may be given the keys of sealed lines."""
KNOWN = frozenset(
    NAMESPACE + name
    for name in (
        *SECRETS,
        *(f"{name}_FILE" for name in SECRETS),
        *("S3_BUCKET", "S3_PREFIX", "S3_ENDPOINT", "S3_REGION", "S3_CREATE_BUCKET", "S3_CA_FILE"),
        *("S3_CREDENTIALS", "S3_PROFILE"),
        *("S3_SSE", "S3_SSE_KMS_KEY_ID", "VISIBILITY_TIMEOUT_SECONDS", "RESULT_EXPIRES_SECONDS", "RESOLVE_CAP_BYTES"),
        *("IDLE_SECONDS", "SETTLE_SECONDS", "LOG_LEVEL", "LOG_FORMAT", "HTTP_ADDRESS", "ALLOW_UNSAFE_TIMES"),
        *("SEARCH_DIR", "TENANT", "TENANTS", "TENANTS_FILE"),
        *SINKS_ALONE,
    )
)


def check_names(names: Iterable[str]) -> None:
    """Raise ConfigurationError for a name of ours that nobody reads: what it was to set would be at its default."""
    unknown = sorted(name for name in names if name.startswith(NAMESPACE) and name not in KNOWN)
    if unknown:
        raise ConfigurationError("; ".join(map(_describe, unknown)))


def normal_prefix(prefix: str | None) -> str:
    """The key prefix that a deployment's variable means: ``history/`` when unset or blank; always ends in ``/``.

    Raises `ConfigurationError` for one that a store would not keep as it is.
    """
    if prefix is None or not prefix.strip():
        return DEFAULT_PREFIX
    try:
        return check_prefix(prefix if prefix.endswith("/") else prefix + "/")
    except Malformed as error:
        raise ConfigurationError(f"{S3_PREFIX}: {error}") from None


def _describe(name: str) -> str:
    near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.8)
    return f"{name} is no setting" + (f": did you mean {near[0]}?" if near else "")
