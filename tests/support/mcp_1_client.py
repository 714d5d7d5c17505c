"""A client of the MCP SDK 1.x, which has an environment of its own: asks a server, and prints what it answers."""

import asyncio
import json
import os
import sys
from typing import Any


async def main(command: str) -> None:
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    server: Any = StdioServerParameters(command=command, args=["mcp"], env=dict(os.environ))
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        found: Any = session
        started = await found.initialize()
        tools = await found.list_tools()
        listed = await found.call_tool("list_sessions", {})
        missing = await found.call_tool("resolve_pointer", {"bucket": "elsewhere", "key": "k"})
        resources = await found.list_resources()
        read = await found.read_resource(resources.resources[0].uri)
        told = {
            "protocol": started.protocolVersion,
            "tools": [tool.name for tool in tools.tools],
            "sessions": listed.structuredContent["sessions"],
            "fault": missing.structuredContent["fault"]["kind"],
            "text": read.contents[0].text,
        }
        print(json.dumps(told))


asyncio.run(main(sys.argv[1]))
