"""`python -m stack.screenshot`: Flower's list of the demo's tasks, as the README shows it. Needs Debian's Chromium."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from stack.demo import DemoFailed
from stack.demo.scene import open_scene
from stack.demo.screen import Screen
from stack.demo.story import tell
from stack.demo.transcript import BUNDLED, read_lines
from stack.processes import NotReady

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1900,760",
    "--virtual-time-budget=10000",  # milliseconds: the table is filled by a script
)


def main() -> int:
    """1 if there is no Chromium, or no picture."""
    parser = argparse.ArgumentParser(prog="python -m stack.screenshot", description=__doc__)
    parser.add_argument("picture", type=Path, nargs="?", default=Path("docs/flower.png"))
    picture: Path = parser.parse_args().picture
    try:
        with open_scene(BUNDLED.stem, read_lines(BUNDLED), Screen()) as scene:
            tell(scene)
            photograph(f"{scene.flower.url}/tasks?name=history_sink.upload_history", picture)
    except (DemoFailed, NotReady) as error:
        print(f"screenshot: {error}", file=sys.stderr)
        return 1
    print(f"{picture}: {picture.stat().st_size:,} bytes")
    return 0


def photograph(url: str, picture: Path) -> None:
    """What Chromium shows at `url`, as a PNG file. Raises NotReady without Chromium, or if it makes none."""
    program = shutil.which("chromium")
    if program is None:
        raise NotReady("there is no chromium on PATH; on Debian: apt-get install chromium")
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="history-sink-chromium-", ignore_cleanup_errors=True) as profile:
        command = [program, *_FLAGS, f"--user-data-dir={profile}", f"--screenshot={picture.absolute()}", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if not picture.exists():
        raise NotReady(f"chromium made no picture:\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
