"""How programs that start servers end when somebody tells them to."""

import signal

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_by_signals() -> None:
    """Have Ctrl-C and its like raise `SystemExit`, with 128 and the signal's number, so that all is cleaned up."""
    for number in _SIGNALS:
        signal.signal(number, _end)


def _end(number: int, frame: object) -> None:
    # Once is enough: what comes now is the cleaning up, and that is not to be interrupted.
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)
