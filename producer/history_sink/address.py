"""Where a broker is: what its URL means, and whether its name can be found."""

import re
import socket
import threading
from urllib.parse import urlsplit


def check_certificates(url: str) -> str:
    """`url`, asking for the server's certificate to be checked unless it says what to do.

    Kombu would take any certificate at ``rediss://host``, and Celery's result backend would refuse that URL.
    """
    # Two readers know kombu's older words for it, redis-py these alone.
    url = re.sub(r"(?<=[?&]ssl_cert_reqs=)(?:CERT_)?(NONE|OPTIONAL|REQUIRED)(?=&|$)", lambda word: word[1].lower(), url)
    parts = urlsplit(url)
    if parts.scheme != "rediss" or "ssl_cert_reqs=" in parts.query or ";" in url:
        return url
    return f"{url}{'&' if parts.query else '?'}ssl_cert_reqs=required"


def tls_of(url: str) -> dict[str, None] | None:
    """What kombu is to be told of TLS at `url`: for ``amqps://`` it would not look for which host a certificate is.

    (None stands for the host in the URL.)
    """
    return {"server_hostname": None} if urlsplit(url).scheme == "amqps" else None


def check_name(url: str, timeout_seconds: float) -> None:
    """Look up the host, for no longer than a connection may take: a resolver has no timeout of ours. Raises OSError."""
    host = urlsplit(url.split(";")[0]).hostname
    if host is None or host.replace(".", "").isdigit() or ":" in host:
        return
    failures: list[OSError] = []

    def resolve() -> None:
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=resolve, name="history-sink-resolver", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is about to end
        return
    thread.join(timeout_seconds)
    if thread.is_alive():
        raise TimeoutError(f"the name {host} was not resolved within {timeout_seconds} s")
    if failures:
        # The resolver's own text lacks the name, which is what is wrong with it.
        raise OSError(f"the name {host} was not found ({failures[0].strerror})")
