"""An MCP server over the archive: tools to find, browse and read what was said, and sessions as resources."""
