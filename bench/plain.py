"""`python -m bench.plain COMMIT`: what whole histories of a stock client cost, by an older build and by this one."""

import sys

from bench.against import write_messages
from bench.builds import start_builds
from bench.figures import median
from bench.scene import Scene
from bench.transcripts import make_transcript

_MESSAGES = 10_000
_TIMES = 2
_ROUNDS = 2


def main(commit: str) -> None:
    """Print a table: medians of all uploads of one message more, of both builds in turn, and their ratio."""
    with Scene() as scene:
        made = make_transcript(_MESSAGES + _TIMES, seed=3).messages
        messages = write_messages(scene.stack.directory / "whole.jsonl", made)
        with start_builds(scene, commit) as builds:
            found: dict[str, dict[str, list[float]]] = {build.name: {} for build in builds}
            for number in range(_ROUNDS):
                for build in builds if number % 2 else builds[::-1]:
                    for what, each in build.run("plain", messages, name=f"r{number}", times=_TIMES).items():
                        found[build.name].setdefault(what, []).extend(each)
            peaks = [build.peak_megabytes() for build in builds]
    print(f"| | {commit} | now | ratio |\n| --- | ---: | ---: | ---: |")
    rows = {what: [median(found[build.name][what]) for build in builds] for what in found["now"]}
    for what, (older, newer) in {**rows, "worker's peak MB": peaks}.items():
        print(f"| {what} | {older:,.0f} | {newer:,.0f} | {newer / older:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1])
