#!/usr/bin/env bash
# mcp 2.3.0's client with `mode="2026-07-28"`, before a server of mcp 1.30.0, which does not know that version: the client
# says it is connected, by that version, without having asked; then each call fails with "Invalid request parameters".
# `mode="auto"` finds the server's version, and the same call works.
# Expected: a client that is told one version refuses to connect to who lacks it, and names the versions.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/old"
"$folder/old/bin/pip" install --quiet 'mcp==1.30.0'
python3 -m venv "$folder/new"
"$folder/new/bin/pip" install --quiet 'mcp==2.3.0'
cat > "$folder/server.py" <<'PYTHON'
from mcp.server.fastmcp import FastMCP

server = FastMCP("sums")


@server.tool()
def add(a: int, b: int) -> int:
    return a + b


server.run()
PYTHON
cat > "$folder/look.py" <<'PYTHON'
import asyncio
import os
import sys

from mcp import Client, MCPError, StdioServerParameters, stdio_client

SERVER = StdioServerParameters(command=sys.argv[1], args=[sys.argv[2]])


async def look(mode):
    """The version that the client says it speaks, and what comes of a call."""
    with open(os.devnull, "w") as quiet:
        async with Client(stdio_client(SERVER, errlog=quiet), mode=mode) as client:
            try:
                said = (await client.call_tool("add", {"a": 1, "b": 2})).structured_content["result"]
            except MCPError as error:
                said = str(error)
            print(f"mode={mode}: connected by {client.protocol_version}; 1 + 2: {said}")
            return client.protocol_version, said


seen = [asyncio.run(asyncio.wait_for(look(mode), 30)) for mode in ("auto", "2026-07-28")]
raise SystemExit(0 if seen == [("2025-11-25", 3), ("2026-07-28", "Invalid request parameters")] else "CHANGED")
PYTHON
timeout 120 "$folder/new/bin/python" "$folder/look.py" "$folder/old/bin/python" "$folder/server.py"
