"""The command behind `make torture`."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from stack.interruption import end_by_signals
from torture.report import Report
from torture.schedule import TRANSPORTS
from torture.story import Plan, tell_story


def main() -> int:
    """0: all promises held. 1: one did not. 128 and the signal's number: it was told to end before."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of torture; settling and reading come after")
    parser.add_argument("--seed", type=int, default=1, help="the same seed is the same schedule")
    parser.add_argument("--transport", choices=TRANSPORTS, default="ours", help="stock: kombu's, which loses")
    parser.add_argument("--quiet", action="store_true", help="the report alone")
    parser.add_argument("--keep", action="store_true", help="data and logs stay; else they do if a promise was broken")
    arguments = parser.parse_args()
    end_by_signals()
    plan = Plan(arguments.seed, arguments.seconds, arguments.transport)
    directory = Path(tempfile.mkdtemp(prefix=f"history-sink-torture-{arguments.seed}-"))
    print(f"torture for {plan.seconds:g} s, seed {plan.seed}; data and logs in {directory}", flush=True)
    report: Report | None = None
    try:
        report = tell_story(plan, directory, _be_silent if arguments.quiet else _tell)
    finally:
        if report is None or (report.holds and not arguments.keep):
            shutil.rmtree(directory, ignore_errors=True)
    print(report.text(), flush=True)
    return 0 if report.holds else 1


def _tell(line: str) -> None:
    print(line, flush=True)


def _be_silent(line: str) -> None:
    return None


if __name__ == "__main__":
    sys.exit(main())
