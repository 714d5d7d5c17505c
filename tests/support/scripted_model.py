"""A model's server on loopback that answers as a script says: a call of one tool, if any, and then a text."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ScriptedModel:
    """Speaks as much of Anthropic's Messages as an agent needs for one call of a tool."""

    def __init__(self, tool: str | None = None, arguments: dict[str, Any] | None = None) -> None:
        self.tool, self.arguments = tool, arguments or {}
        self.results: list[Any] = []
        """What the agent has sent back of the call."""
        self.asked: list[Any] = []
        """The messages of each question that has tools: those of the conversation, not of its title."""

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Serve while the block runs. Yields the URL."""
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
                data = b"".join(model.answer(body)) if self.path.startswith("/v1/messages") else b"{}"
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)

    def answer(self, body: dict[str, Any]) -> Iterator[bytes]:
        """The events of one answer: the call, unless the question has what came of it."""
        found = [
            part
            for message in body.get("messages", [])
            if isinstance(message.get("content"), list)
            for part in message["content"]
            if isinstance(part, dict) and part.get("type") == "tool_result"
        ]
        self.results += found
        if body.get("tools"):
            self.asked.append(body["messages"])
        block: dict[str, Any]
        if found or not body.get("tools") or self.tool is None:
            block, delta, reason = {"type": "text", "text": ""}, {"type": "text_delta", "text": "Done."}, "end_turn"
        else:
            given = json.dumps(self.arguments)
            block = {"type": "tool_use", "id": "toolu_1", "name": self.tool, "input": {}}
            delta, reason = {"type": "input_json_delta", "partial_json": given}, "tool_use"
        usage = {"input_tokens": 1, "output_tokens": 1}
        start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "scripted", "content": []}
        yield _event("message_start", message={**start, "stop_reason": None, "stop_sequence": None, "usage": usage})
        yield _event("content_block_start", index=0, content_block=block)
        yield _event("content_block_delta", index=0, delta=delta)
        yield _event("content_block_stop", index=0)
        yield _event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)
        yield _event("message_stop")


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
