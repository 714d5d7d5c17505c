"""The whole path under the adversary for as long as you like; what fails, as a short story."""

import argparse
import logging
import sys
import time
from pathlib import Path

from .campaign import Simulate, find_failure, shorten_failure, simulate

_SUPPORT = Path(__file__).parents[1] / "support"


def find_simulation(name: str) -> Simulate:
    """The adversary of one part."""
    sys.path.insert(0, str(_SUPPORT))  # where pytest finds what they import
    from .appends import AppendSimulation
    from .deletions import Deletions
    from .sequels import Sequels

    simulations: dict[str, Simulate] = {"appends": AppendSimulation, "deletions": Deletions, "sequels": Sequels}
    return simulations[name]


def main() -> int:
    """0: all promises held. 1: one did not, and the story is printed."""
    parser = argparse.ArgumentParser(prog="python -m tests.protocol", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9, help="of the first story; others follow")
    parser.add_argument(
        "--of",
        choices=("appends", "deletions", "sequels"),
        help="a part alone, and each of its runs that fails, by its seed",
    )
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print(f"from seed {arguments.seed} on, for {arguments.seconds:g} s", flush=True)
    if arguments.of is not None:
        played = simulate(find_simulation(arguments.of), arguments.seed, arguments.seconds)
        print(f"{arguments.of}: {played.runs:,} runs, {played.requests:,} requests, {len(played.failed)} violations")
        for seed, reason in played.failed.items():
            print(f"seed {seed}: {reason}")
        return 1 if played.failed else 0
    found = find_failure(arguments.seed, arguments.seconds)
    print(found.stories, "stories,", found.requests, "requests to the store", flush=True)
    if found.failure is None:
        print("no promise was broken")
        return 0
    print(shorten_failure(found.failure, 300).text())
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
