"""What plugs agents and people in: session files, stores for SDKs, pages, rendering, a page in the browser.

Each room needs an extra of its own, and imports the public names of `history_sink`, nothing else of it.
"""
