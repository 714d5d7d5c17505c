"""A TCP relay on loopback, a process of its own: it delays, and counts bytes and S3 requests.

`python -m bench.relay PORT CONTROL_PORT TARGET_PORT MILLISECONDS KIND`; whoever connects to the control port gets
the counts so far as JSON. A server so many milliseconds away answers that much later: half on the way there,
half on the way back, and data under way does not hold up what follows it.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from bench.http_meter import HttpMeter

_READ_BYTES = 256 * 1024


class Relay:
    """Forwards to `target_port`; with `is_http` the requests on their way are counted."""

    def __init__(self, target_port: int, delay_seconds: float, is_http: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._target_port, self._delay_seconds, self._is_http = target_port, delay_seconds, is_http

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either side ends."""
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        meter = HttpMeter(self.counts) if self._is_http else None
        forth = self._pump(reader, there_writer, "sent", meter.feed if meter else None)
        back = self._pump(there_reader, writer, "answered", meter.answer if meter else None)
        await asyncio.gather(forth, back)

    async def report(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Tell the counts, and end the connection."""
        writer.write(json.dumps(self.counts).encode())
        await writer.drain()
        writer.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: str,
        look: Callable[[bytes], None] | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = asyncio.create_task(self._deliver(under_way, writer))
        data = b"."
        while data:
            try:
                data = await reader.read(_READ_BYTES)
            except OSError:  # it was killed: an end like any other
                data = b""
            self.counts[f"bytes {direction}"] += len(data)
            if look is not None:
                look(data)
            under_way.put_nowait((loop.time() + self._delay_seconds / 2, data))
        await arriving

    async def _deliver(self, under_way: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        """Each piece at its time; an empty one is the end."""
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while True:
                due, data = await under_way.get()
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                if not data:
                    break
                writer.write(data)
                await writer.drain()
        writer.close()


async def serve(port: int, control_port: int, target_port: int, milliseconds: float, kind: str) -> None:
    """Until the process is ended."""
    relay = Relay(target_port, milliseconds / 1000, kind == "http")
    servers = [
        await asyncio.start_server(relay.connect, "127.0.0.1", port),
        await asyncio.start_server(relay.report, "127.0.0.1", control_port),
    ]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(serve(*map(int, sys.argv[1:4]), float(sys.argv[4]), sys.argv[5]))  # type: ignore[call-arg, arg-type]
