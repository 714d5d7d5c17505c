"""A model by script, on loopback: ``python -m stack.agents.model PORT LOG``.

There is no model: the last prompt says what is answered. What was asked is logged, one JSON object a line: that is how
a test sees whether an agent has sent its old turns.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from stack.agents.dialects import ANTHROPIC, CHAT, GEMINI, RESPONSES, Dialect
from stack.agents.script import plan_answer

_ENDINGS = {"/messages": ANTHROPIC, "/responses": RESPONSES, "/chat/completions": CHAT}
_MODELS = {"object": "list", "data": [{"id": "scripted-1", "object": "model"}], "models": []}
_LOCK = threading.Lock()


def find_dialect(path: str) -> Dialect | None:
    """By the path that is asked; None for one that no model has."""
    if "enerateContent" in path:
        return GEMINI
    return next((dialect for ending, dialect in _ENDINGS.items() if path.endswith(ending)), None)


def make_handler(log: Path) -> type[BaseHTTPRequestHandler]:
    """The handler of a server that logs there."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Nothing: the log has it."""

        def do_HEAD(self) -> None:  # the base class's name
            self._send({})

        def do_GET(self) -> None:
            self._send(_MODELS if "models" in self.path else {})

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            try:
                body = json.loads(raw or b"{}")
            except ValueError:
                body = {}
            path = self.path.partition("?")[0]
            dialect = find_dialect(path)
            if "ount" in path.rpartition("/")[2] or not dialect:  # how many tokens; telemetry
                self._send({"input_tokens": 1000, "totalTokens": 1000})
                return
            with _LOCK, log.open("a") as file:
                file.write(json.dumps({"path": path, "body": body}) + "\n")
            answer = plan_answer(dialect.read(body), has_tools=bool(body.get("tools")))
            time.sleep(answer.slow_seconds)
            is_streamed = path.endswith(":streamGenerateContent") or body.get("stream")
            if not is_streamed:
                self._send(dialect.answer(body, answer))
                return
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            for name, data in dialect.stream(body, answer):
                text = data if isinstance(data, str) else json.dumps(data)
                self.wfile.write((f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode())
            self.close_connection = True

        def _send(self, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    return Handler


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), make_handler(Path(sys.argv[2]))).serve_forever()
