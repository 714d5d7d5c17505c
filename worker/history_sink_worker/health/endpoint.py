"""The worker's HTTP endpoint: /live, /ready, /metrics.

Threads of its own in the worker's main process: neither a busy pool, nor a gate that is shut, nor a broker that is
away keeps it from answering. It says nothing secret and nothing of a transcript; it asks nobody who they are.
"""

import json
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client.exposition import choose_encoder

from history_sink_worker.health.scrape import VitalsCollector
from history_sink_worker.telemetry.metrics import METER, REGISTRY
from history_sink_worker.telemetry.vitals import CHART, judge

REQUEST_SECONDS = 5


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Silence: a client that has gone away is no event."""


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS  # a client that sends nothing must not hold a thread for ever

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(200, content_type, encode(REGISTRY))
        elif path in ("/live", "/ready"):
            health = judge(CHART.now(), time.time())
            is_well = health.is_live if path == "/live" else health.is_ready
            self._answer(200 if is_well else 503, "application/json", json.dumps(health.encode()).encode() + b"\n")
        else:
            self._answer(404, "text/plain", b"/live, /ready or /metrics\n")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: probes come every few seconds."""


def open_endpoint(host: str, port: int) -> None:
    """Answer from now on, until the process ends. To be called before the pool is started. Raises OSError."""
    server = _make_server(host, port)
    # A pool process that outlives us would keep the port, and let whoever asks wait.
    os.register_at_fork(after_in_child=server.socket.close)
    METER.open()
    REGISTRY.register(VitalsCollector(CHART.now))
    threading.Thread(target=server.serve_forever, name="endpoint", daemon=True).start()


def _make_server(host: str, port: int) -> _Server:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = type("Server", (_Server,), {"address_family": family})
    server: _Server = kind((host, port), _Handler)
    return server
