"""The whole path under the adversary for as long as you like; what fails, as a short story."""

import argparse
import logging
import time

from .campaign import find_failure, shorten_failure


def main() -> int:
    """0: all promises held. 1: one did not, and the story is printed."""
    parser = argparse.ArgumentParser(prog="python -m tests.protocol", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9, help="of the first story; others follow")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print(f"from seed {arguments.seed} on, for {arguments.seconds:g} s", flush=True)
    found = find_failure(arguments.seed, arguments.seconds)
    print(found.stories, "stories,", found.requests, "requests to the store", flush=True)
    if found.failure is None:
        print("no promise was broken")
        return 0
    print(shorten_failure(found.failure, 300).text())
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
