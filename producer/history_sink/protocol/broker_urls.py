"""Which URLs of a broker or a result store every reader takes alike: kombu, Celery's result backend and redis-py.

A part that one of them drops (a database by name, an option) sends another to a different database, or fails when the
first message goes out. Only what all read alike is let through. Nothing is imported for it: an agent starts with this.
"""

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qsl, urlsplit

AMQP_SCHEMES = frozenset({"amqp", "amqps", "pyamqp"})
REDIS_SCHEMES = frozenset({"redis", "rediss", "redis+socket"})
BROKER_SCHEMES = REDIS_SCHEMES | AMQP_SCHEMES

_TEXT = r"[^%]+"  # the result backend decodes a second time
_SECONDS = r"0*[1-9]\d{0,5}(\.\d{1,6})?|0?\.0*[1-9]\d{0,5}"
_DATABASE = r"\d{1,9}"
_TLS = {
    "ssl_cert_reqs": r"(CERT_)?(NONE|OPTIONAL|REQUIRED)|none|optional|required",
    "ssl_check_hostname": r"true|false",
    **dict.fromkeys(("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password"), _TEXT),
}
_BY_TCP = {
    "db": _DATABASE,
    "socket_timeout": _SECONDS,
    "socket_connect_timeout": _SECONDS,
    "health_check_interval": r"\d{1,6}",
    "client_name": r"[\w.-]+",
    "retry_on_timeout": r"true|false",
    "socket_keepalive": r"true|false",
}
_OPTIONS: dict[str, dict[str, str]] = {
    "redis": {},
    "rediss": _TLS,
    "redis+socket": {"virtual_host": _DATABASE},
    "unix": {"db": _DATABASE},
    **{scheme: {"heartbeat": r"\d{1,6}", "login_method": r"[A-Z]+", **_TLS} for scheme in AMQP_SCHEMES},
}


def check_broker(url: str) -> None:
    """Raise ValueError unless all readers take a broker's URL alike. Its text says what is wanted, and no secret."""
    _check(url, BROKER_SCHEMES, {})


def check_redis(url: str, schemes: frozenset[str] = REDIS_SCHEMES) -> None:
    """The same for a Redis that is no queue: its readers take some of redis-py's options."""
    _check(url, schemes, _BY_TCP)


def for_redis_py(url: str) -> str:
    """A URL that kombu reads, as redis-py reads it: a socket is ``unix://`` there."""
    if not url.startswith("redis+socket://"):
        return url
    return url.replace("redis+socket://", "unix://", 1).replace("?virtual_host=", "?db=", 1)


def for_backend(url: str) -> str:
    """A URL that kombu reads, as Celery hands it to its result backend."""
    return url.removeprefix("redis+")


def is_same_server(one: str, other: str) -> bool:
    """Whether two URLs are of one Redis, whatever user and database they name."""
    here, there = urlsplit(one), urlsplit(other)
    if not {here.scheme, there.scheme} <= REDIS_SCHEMES:
        return False
    if "redis+socket" in (here.scheme, there.scheme):
        return (here.scheme, here.path) == (there.scheme, there.path)
    return (here.hostname, here.port or 6379) == (there.hostname, there.port or 6379)


def _check(url: str, schemes: frozenset[str], by_tcp: Mapping[str, str]) -> None:
    _check_escapes(url)
    if ";" in url:
        reason = "a broker to fail over to lacks what the first has accepted"
        raise ValueError(f"a URL without a ;: {reason} (in a password it is %3B)")
    parts = _split(url)
    if parts.scheme not in schemes:
        raise ValueError(f"a URL of {', '.join(sorted(schemes))}: no other has the queue, the answers and no loss")
    if parts.fragment:
        raise ValueError("a URL without a #: what follows one is not read (in a password it is %23)")
    is_socket = parts.scheme in ("redis+socket", "unix")
    if is_socket and (parts.hostname or parts.port or len(parts.path) < 2):
        raise ValueError(f"the path of a socket behind three slashes, such as {parts.scheme}:///run/redis.sock")
    is_redis = parts.scheme in ("redis", "rediss")
    if is_redis and not re.fullmatch(rf"/?(?:{_DATABASE})?", parts.path, re.ASCII):
        raise ValueError("a URL whose path is the database's number, such as redis://host:6379/0")
    _check_options(parts, {**_OPTIONS[parts.scheme], **(by_tcp if is_redis else {})})


def _check_escapes(url: str) -> None:
    """A password with one of these ends the host's part too early: its rest would be taken for path or options."""
    _, _, rest = url.partition("://")
    host_part = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user_part = host_part.rpartition("@")[0]
    if "@" not in rest[len(host_part) :] and not re.search(r"[\[\]]", user_part):
        return
    host = re.split(r"[:/?#;]", rest.rpartition("@")[2], maxsplit=1)[0]
    named = f"the host {host[:100]!r}" if host else "the host"
    raise ValueError(
        "a URL whose password has %40 %2F %23 %3F %5B %5D for @ / # ? [ ] (and %3B for ;): "
        f"as it is written, {named} was not found in it"
    )


def _split(url: str) -> SplitResult:
    wanted = "a broker's URL, such as redis://host:6379/0"
    try:
        parts = urlsplit(url)
        is_sound = parts.port != 0  # reading the port checks it
    except ValueError:  # its text would quote the URL, and with it a password
        raise ValueError(wanted) from None
    if not is_sound or not parts.scheme or "://" not in url or any(map(str.isspace, url)):
        raise ValueError(wanted)
    return parts


def _check_options(parts: SplitResult, known: Mapping[str, str]) -> None:
    seen: set[str] = set()
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        shown = f"?{name}=" if re.fullmatch(r"[A-Za-z_]{1,30}", name) else "such an option"
        if name not in known:
            advice = f" (it may have {', '.join(known)})" if known else ""
            if parts.scheme == "redis" and name == "db":
                advice = ": the database is the path, such as redis://host:6379/3"
            raise ValueError(f"a URL without {shown}, which not all of its readers understand{advice}")
        if name in seen:
            raise ValueError(f"a URL with {shown} once: of two, one reader takes the first, another the last")
        if not re.fullmatch(known[name], value, re.ASCII):
            raise ValueError(f"a URL whose {shown} has a value that all of its readers understand")
        seen.add(name)
