"""What a worker in this environment would go by, and where each setting comes from. Never a secret. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from history_sink.protocol.names import NAMESPACE
from history_sink.protocol.secret_files import SUFFIX
from history_sink_worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class InEffect:
    """`value` None: none. `source`: ``environment``, ``default`` or ``file`` and its path."""

    name: str
    value: str | float | bool | None
    source: str


def settings_in_effect(settings: WorkerSettings, env: Mapping[str, str]) -> Iterator[InEffect]:
    """Each setting of a worker, `settings` being those that were read from `env`."""
    plain = {name: env.get(NAMESPACE + name) for name in ("ALLOW_UNSAFE_TIMES", "TENANT")}  # no fields of their own
    for name, value in {**_values(settings), **plain}.items():
        variable = NAMESPACE + name
        path = env.get(variable + SUFFIX, "").strip()
        source = f"file {path}" if path else "environment" if env.get(variable, "").strip() else "default"
        yield InEffect(variable, value, source)


def _values(settings: WorkerSettings) -> dict[str, str | float | bool | None]:
    broker = settings.broker
    return {
        "BROKER_URL": _show_url(broker.broker_url),
        "RESULT_URL": _show_url(broker.result_url),
        "REDIS_URL": _show_url(broker.redis_url),
        "S3_ENDPOINT": settings.endpoint,
        "S3_BUCKET": settings.bucket,
        "S3_PREFIX": settings.prefix,
        "S3_REGION": settings.region,
        "S3_CREDENTIALS": "default" if settings.uses_default_chain else "keys",
        "S3_PROFILE": settings.profile,
        "S3_ACCESS_KEY": _hide(settings.access_key),
        "S3_SECRET_KEY": _hide(settings.secret_key),
        "S3_SESSION_TOKEN": _hide(settings.session_token),
        "S3_CREATE_BUCKET": settings.create_bucket,
        "S3_SSE": settings.sse,
        "S3_SSE_KMS_KEY_ID": settings.sse_kms_key_id,
        "S3_CA_FILE": settings.ca_file,
        "S3_PROXY": _show_url(settings.proxy),
        "VISIBILITY_TIMEOUT_SECONDS": broker.visibility_timeout_seconds,
        "RESULT_EXPIRES_SECONDS": broker.result_expires_seconds,
        "RESOLVE_CAP_BYTES": settings.resolve_cap_bytes,
        "IDLE_SECONDS": settings.idle_seconds,
        "SETTLE_SECONDS": settings.settle_seconds,
        "SEARCH_DIR": settings.search_dir,
        "TENANTS": ", ".join(broker.tenants) or None,
        "LOG_LEVEL": broker.log_level,
        "LOG_FORMAT": broker.log_format,
        "HTTP_ADDRESS": None if broker.http_address is None else "{}:{}".format(*broker.http_address),
    }


def _hide(secret: str | None) -> str | None:
    return "(set)" if secret else None


def _show_url(url: str | None) -> str | None:
    """Without user and password, and without the query, in which some clients take a password as well."""
    if not url:
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
