"""`python -m bench.worker_cost COMMIT`: what a save costs the worker, by an older build and by this one.

The part of `make bench AGAINST=COMMIT` that has to do with the worker, in three minutes.
"""

import sys
from functools import partial

from bench.against import SESSIONS, Comparison, Work, count, save
from bench.builds import start_builds
from bench.figures import median
from bench.scene import Scene

_ROUNDS = 3
_SECONDS = 2.0


def main(commit: str) -> None:
    """Print a table: medians of the rounds, of both builds in turn, and of the rounds' ratios."""
    with Scene() as scene:
        work = Work(scene.stack.directory, SESSIONS)
        with start_builds(scene, commit) as builds:
            comparison = Comparison(builds)
            for number in range(_ROUNDS):
                comparison.alternate(number, partial(save, work, f"s{number}", _SECONDS))
                comparison.alternate(number, partial(count, work, f"c{number}"))
    print(f"| | {commit} | now | ratio |\n| --- | ---: | ---: | ---: |")
    for what, pairs in comparison.pairs.items():
        older, newer = (median([pair[index] for pair in pairs]) for index in (0, 1))
        print(f"| {what} | {older:.2f} | {newer:.2f} | {comparison.ratio(what):.2f} |")


if __name__ == "__main__":
    main(sys.argv[1])
