"""The reading side: which sessions there are, how far each is, two messages by a pointer, and a whole log.

python examples/read_side.py                 # the sessions
python examples/read_side.py my-session      # one of them
"""

import sys

from history_sink import Fault, HistorySink


def show_sessions(sink: HistorySink) -> None:
    page = sink.list_sessions()
    while True:
        for each in page.sessions:
            print(f"{each.session}: {each.messages} messages, {each.bytes} bytes, {each.branches} branches")
        if page.next_after is None:
            return
        page = sink.list_sessions(after=page.next_after)


def show_session(sink: HistorySink, session: str) -> None:
    for log in sink.status(session).logs:
        print(f"{log.branch or 'main log'}: {log.messages} messages, {log.bytes} bytes")
    handle = sink.pointer(session, messages=(0, 2))
    print(f"pointer: {handle.encode()}")  # as JSON it may be kept anywhere: it stays valid
    answer = sink.resolve(handle)
    print(f"no bytes: {answer}" if isinstance(answer, Fault) else answer.decode(), end="")
    size_bytes = sum(len(piece) for piece in sink.read(session))  # a log of any size, piece by piece
    print(f"read: {size_bytes} bytes")


if __name__ == "__main__":
    with HistorySink.from_env() as sink:
        show_session(sink, sys.argv[1]) if sys.argv[1:] else show_sessions(sink)
