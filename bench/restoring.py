"""`python -m bench.restoring COMMIT [MEGABYTES [ROUNDS]]`: a long log saved, folded and read back, by two builds."""

import json
import sys
from collections.abc import Sequence

from bench.builds import start_builds
from bench.figures import median
from bench.scene import Scene
from bench.transcripts import make_transcript

_BLOCK = 500
_PEAK = "worker's peak MB: all saved and folded"


def main(commit: str, megabytes: int = 200, rounds: int = 3) -> None:
    """Print a table: medians of the rounds, of both builds in turn, and their ratio."""
    with Scene() as scene:
        block = make_transcript(_BLOCK, seed=3, scale=5.0)
        messages, none = scene.stack.directory / "block.jsonl", scene.stack.directory / "none.jsonl"
        messages.write_text("".join(json.dumps(message, ensure_ascii=False) + "\n" for message in block.messages))
        none.write_text("")
        times = max(1, round(megabytes * 1e6 / sum(map(len, block.lines))))
        with start_builds(scene, commit) as builds:
            peaks = {}
            for build in builds:
                size = build.run("fill", messages, name="long", times=times)["size_bytes"]
                peaks[build.name] = build.peak_megabytes()
                print(f"{build.name}: {size / 1e6:.0f} MB saved and folded", file=sys.stderr)
            found: dict[str, list[dict[str, float]]] = {build.name: [] for build in builds}
            for number in range(rounds):
                for build in builds if number % 2 else builds[::-1]:
                    found[build.name].append({_PEAK: peaks[build.name], **build.run("restore", none, name="long")})
    print(f"{size / 1e6:.0f} MB, median of {rounds}\n")
    print(f"| | {commit} | now | ratio |\n| --- | ---: | ---: | ---: |")
    for what in found["now"][0]:
        older, newer = (_pick(found[build.name], what) for build in builds)
        print(
            f"| {what} | {older:.2f} | {newer:.2f} | {newer / older:.2f} |" if older else f"| {what} | 0 | {newer} | |"
        )


def _pick(rounds: Sequence[dict[str, float]], what: str) -> float:
    return median([each[what] for each in rounds])


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
