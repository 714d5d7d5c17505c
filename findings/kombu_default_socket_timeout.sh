#!/usr/bin/env bash
# kombu 5.7.0: `Connection.collect(socket_timeout=0.1)`, which kombu calls while it gives up a broken connection of a
# transport that has no `_collect`, sets `socket.setdefaulttimeout(0.1)` for the whole process meanwhile, and puts back
# what it found. Two threads that do so at once leave 0.1 s behind for ever: the second one found the first one's.
# Expected: giving up one connection changes no other socket of the process.
# Consequence: sockets that the application opens later, to anything, time out after 0.1 s.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'kombu==5.7.0'
cat > "$folder/look.py" <<'PYTHON'
import socket
import threading

from kombu import Connection


def give_up(entered, leave):
    """One thread of an application gives up a connection whose closing takes until `leave`."""
    connection = Connection("memory://")
    connection.connect()
    assert not hasattr(connection.transport, "_collect")

    def close(_):
        entered.set()
        assert leave.wait(10)

    connection.transport.close_connection = close
    thread = threading.Thread(target=connection.collect, kwargs={"socket_timeout": 0.1})
    thread.start()
    assert entered.wait(10)
    return thread


def event():
    return threading.Event()


print("before:", before := socket.getdefaulttimeout())
leave_first, leave_second = event(), event()
first = give_up(event(), leave_first)
with socket.socket() as unrelated:
    print("a new socket meanwhile:", meanwhile := unrelated.gettimeout())
second = give_up(event(), leave_second)
leave_first.set()
first.join(10)
leave_second.set()
second.join(10)
print("after both have ended:", after := socket.getdefaulttimeout())
raise SystemExit(0 if (before, meanwhile, after) == (None, 0.1, 0.1) else "CHANGED")
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/look.py"
