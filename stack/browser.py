"""Debian's Chromium without a window: what a person would see of a page."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from stack.processes import NotReady

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
PLACE = "/tmp"
"""For profiles: with one in a deep folder Chromium ends, for the path of its socket is too long then."""

_PICTURE = ("--window-size=1900,760", "--virtual-time-budget=10000")
"""The time is in milliseconds: the table is filled by a script."""


def photograph(url: str, picture: Path) -> None:
    """What Chromium shows at `url`, as a PNG file. Raises NotReady without Chromium, or if it makes none."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.unlink(missing_ok=True)
    done = _browse(url, f"--screenshot={picture.absolute()}")
    if not picture.exists():
        raise NotReady(f"chromium made no picture:\n{done.stderr[-2000:]}")


def read_page(url: str) -> str:
    """The page at `url` as HTML, after its scripts have run. Raises NotReady without Chromium."""
    return _browse(url, "--dump-dom").stdout


def _browse(url: str, action: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("chromium")
    if program is None:
        raise NotReady("there is no chromium on PATH; on Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="history-sink-chromium-", dir=PLACE, ignore_cleanup_errors=True) as profile:
        command = [program, *FLAGS, *_PICTURE, f"--user-data-dir={profile}", action, url]
        environment = {**os.environ, "TMPDIR": PLACE}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
