"""One page in Debian's Chromium, driven as a person would drive it; and what it has asked the network for."""

import json
import os
import shutil
import tempfile
import time
import urllib.request
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from websockets.sync.client import connect
from websockets.sync.connection import Connection

from stack.browser import FLAGS, PLACE
from stack.processes import NotReady, Process

_ANSWER_SECONDS = 60.0
_KEYS: dict[str, dict[str, Any]] = {
    "Enter": {"text": "\r", "windowsVirtualKeyCode": 13},
    "Escape": {"windowsVirtualKeyCode": 27},
}
"""Keys that are no letter: without its number the browser does nothing of its own with one."""


class Tab:
    """A page. Raises NotReady where Chromium does not answer in a minute."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._numbers = count(1)
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the DevTools protocol, and its result; events that come meanwhile are kept."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            try:
                message = json.loads(self._connection.recv(timeout=_ANSWER_SECONDS))
            except TimeoutError:
                raise NotReady(f"chromium did not answer {method} within {_ANSWER_SECONDS:g} s") from None
            if message.get("id") == number:
                if "error" in message:
                    raise NotReady(f"chromium refused {method}: {message['error']}")
                return dict(message["result"])
            self.events.append(message)

    def go(self, url: str) -> None:
        """Open a page, and wait until it is there."""
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited if need be."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise NotReady(f"{expression}: {found['exceptionDetails'].get('exception', {}).get('description')}")
        return found["result"].get("value")

    def wait(self, condition: str, timeout_seconds: float = 60) -> None:
        """Until a JavaScript expression is true, which may fail while a page is on its way. Raises NotReady."""
        deadline = time.monotonic() + timeout_seconds
        while not self.ask(f"(() => {{ try {{ return {condition}; }} catch {{ return false; }} }})()"):
            if time.monotonic() > deadline:
                raise NotReady(f"{condition}: not within {timeout_seconds:g} s")
            time.sleep(0.02)

    def arrive(self, path: str, timeout_seconds: float = 60) -> None:
        """Until the page of this path is there. Raises NotReady."""
        self.wait(f"location.pathname === '{path}' && document.readyState === 'complete'", timeout_seconds)

    def press(self, key: str) -> None:
        """A key, as of a keyboard."""
        known = _KEYS.get(key) or {"text": key}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **known)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def show(self, width: int, height: int, *, is_dark: bool = False) -> None:
        """How large the window is, and whether its user likes it dark."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def photograph(self, picture: Path) -> None:
        """What is to be seen, as a PNG file."""
        picture.write_bytes(b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def requests(self) -> list[str]:
        """The addresses that were asked for."""
        return [each["params"]["request"]["url"] for each in self._named("Network.requestWillBeSent")]

    def complaints(self) -> list[str]:
        """Errors of scripts, what the page's policy has stopped, and dialogs."""
        errors = [json.dumps(each["params"]) for each in self._named("Runtime.exceptionThrown")]
        errors += [json.dumps(each["params"]) for each in self._named("Page.javascriptDialogOpening")]
        logged = (each["params"]["entry"] for each in self._named("Log.entryAdded"))
        return errors + [entry["text"] for entry in logged if entry["level"] == "error"]

    def _named(self, method: str) -> list[dict[str, Any]]:
        self.send("Runtime.evaluate", expression="0")  # what has happened before is told before this is answered
        return [each for each in self.events if each.get("method") == method]


@contextmanager
def open_tab() -> Iterator[Tab]:
    """A page of a Chromium of its own, with a profile that nobody has used. Raises NotReady without one."""
    program = shutil.which("chromium")
    if program is None:
        raise NotReady("there is no chromium on PATH; on Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="history-sink-chromium-", dir=PLACE, ignore_cleanup_errors=True) as place:
        told = Path(place) / "profile" / "DevToolsActivePort"
        command = [program, *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={told.parent}", "about:blank"]
        environment = {**os.environ, "TMPDIR": PLACE}
        process = Process("chromium", command, log_path=Path(place) / "chromium.log", environment=environment)
        process.start(lambda: told.exists() and told.read_text().count("\n") > 0)
        try:
            port = int(told.read_text().split()[0])
            with connect(_find_page(port), max_size=None, open_timeout=30) as connection:
                yield Tab(connection)
        finally:
            process.stop()


def _find_page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
        pages = [each for each in json.load(answer) if each["type"] == "page"]
    return str(pages[0]["webSocketDebuggerUrl"])
