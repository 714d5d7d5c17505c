"""`python -m stack.screenshot`: Flower's list of the demo's tasks, as the README shows it. Needs Debian's Chromium."""

import argparse
import sys
from pathlib import Path

from stack.browser import photograph
from stack.demo import DemoFailed
from stack.demo.scene import open_scene
from stack.demo.screen import Screen
from stack.demo.story import tell
from stack.demo.transcript import BUNDLED, read_lines
from stack.processes import NotReady


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


if __name__ == "__main__":
    sys.exit(main())
