"""Whether the broker's name can be found, in bounded time."""

import socket
import threading
from urllib.parse import urlsplit


def check_name(url: str, timeout_seconds: float) -> None:
    """Look up the host, for no longer than a connection may take: a resolver has no timeout of ours. Raises OSError."""
    host = urlsplit(url).hostname
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
