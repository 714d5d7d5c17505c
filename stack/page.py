"""The page of `history-sink view` in this process: for a browser, on any sink."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn

from history_sink import HistorySink
from history_sink_agents.view.app import make_app
from stack.processes import wait_until


@contextmanager
def serve_page(sink: HistorySink) -> Iterator[tuple[str, str]]:
    """The page's address, and the token that lets in."""
    token = secrets.token_urlsafe(24)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            make_app(sink, token, [host]), log_level="warning", lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            wait_until(lambda: server.started, timeout_seconds=30, what="the page to be served")
            yield f"http://{host}", token
        finally:
            server.should_exit = True
            thread.join(20)
