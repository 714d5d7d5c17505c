"""The command behind `make demo`."""

import argparse
import sys
import time
from pathlib import Path

from history_sink import HistorySinkError
from stack.demo import DemoFailed
from stack.demo.scene import Scene, open_scene
from stack.demo.screen import Screen
from stack.demo.story import tell
from stack.demo.transcript import BUNDLED, read_lines
from stack.interruption import end_by_signals
from stack.processes import NotReady


def main() -> int:
    """0: all that it claims holds. 1: it does not. 128 and the signal's number: it was told to end before."""
    parser = argparse.ArgumentParser(prog="python -m stack.demo", description=__doc__)
    parser.add_argument("transcript", type=Path, nargs="?", default=BUNDLED, help="any JSONL file")
    path = parser.parse_args().transcript
    end_by_signals()
    screen = Screen()
    try:
        lines = read_lines(path)
        screen.title(f"{len(lines)} messages, {sum(map(len, lines)):,} bytes, from {path.name}")
        with open_scene(path.stem, lines, screen) as scene:
            tell(scene)
            if sys.stdin.isatty() and sys.stdout.isatty():
                _stay(scene)
    except (DemoFailed, NotReady, HistorySinkError) as error:
        screen.fail(f"{error}")
        return 1
    return 0


def _stay(scene: Scene) -> None:
    """Until Ctrl-C."""
    minio = scene.stack.minio
    console = f"http://127.0.0.1:{minio.console_port} (user {minio.access_key}, password {minio.secret_key})"
    try:
        scene.screen.text(f"Flower and MinIO's console, {console}, stay up until Ctrl-C.")
        while scene.flower.process.is_running and scene.stack.minio.process.is_running:
            time.sleep(0.2)
    except SystemExit:
        return
    raise NotReady("a server has ended by itself")


if __name__ == "__main__":
    sys.exit(main())
