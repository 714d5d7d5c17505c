#!/usr/bin/env bash
# watchfiles 1.3.0 with `force_polling=True`, which it also chooses by itself on WSL: of two writes to a file within one second
# the first is told, and the second never, for the time of the file is compared in whole seconds, and its size not at all.
# The file stays behind until somebody writes to it again. With the system's notifications both are told.
# Expected: what has another size or another time has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'watchfiles==1.3.0'
cat > "$folder/look.py" <<'PYTHON'
import sys
import tempfile
import threading
import time
from pathlib import Path

from watchfiles import watch


def look(force_polling: bool) -> list[tuple[bool, bool]]:
    """Of three pairs of writes, each within a second, which were told within 0.45 s."""
    told, stop = [], threading.Event()
    path = Path(tempfile.mkdtemp(dir=sys.argv[1])) / "log"
    path.touch()

    def follow() -> None:
        for changes in watch(path.parent, force_polling=force_polling, stop_event=stop, debounce=100, step=20):
            told.append(changes)

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(2)

    def write() -> bool:
        before = len(told)
        with path.open("a") as file:
            file.write("a line\n")
        time.sleep(0.45)
        return len(told) > before

    pairs = []
    for _ in range(3):
        time.sleep(1.05 - time.time() % 1)  # just behind the beginning of a second
        pairs.append((write(), write()))
    stop.set()
    thread.join()
    print("polling" if force_polling else "notified", pairs)
    return pairs


seen = look(True), look(False)
raise SystemExit(0 if seen == ([(True, False)] * 3, [(True, True)] * 3) else "CHANGED")
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/look.py" "$folder"
