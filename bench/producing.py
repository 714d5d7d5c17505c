"""`python -m bench.producing COMMIT`: what a save of 3 KB costs an agent, by an older build and by this one."""

import json
import sys

from bench.builds import start_builds
from bench.figures import median
from bench.measures.producer import make_message
from bench.scene import Scene

_SAVES = 100
_ROUNDS = 6


def main(commit: str) -> None:
    """Print a table: medians of the rounds, of both builds in turn, and their ratio."""
    with Scene() as scene:
        messages = scene.stack.directory / "saves.jsonl"
        messages.write_text("".join(json.dumps(make_message(number)) + "\n" for number in range(200)))
        with start_builds(scene, commit) as builds:
            found: dict[str, list[dict[str, float]]] = {build.name: [] for build in builds}
            for number in range(_ROUNDS):
                for build in builds if number % 2 else builds[::-1]:
                    found[build.name].append(build.run("produce", messages, name=f"r{number}", times=_SAVES))
    print(f"| | {commit} | now | ratio |\n| --- | ---: | ---: | ---: |")
    for what in found["now"][0]:
        older, newer = (median([each[what] for each in found[build.name]]) for build in builds)
        print(f"| {what} | {older:.2f} | {newer:.2f} | {newer / older:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1])
