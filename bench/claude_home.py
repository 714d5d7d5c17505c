"""A home with made-up session files, for what watches such files."""

import json
import os
import random
from pathlib import Path
from uuid import UUID


class Home:
    """A home with made-up sessions of Claude Code."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self._chance = random.Random(seed)
        self.paths: list[Path] = []

    def fill(self, files: int, size_bytes: int) -> None:
        """So many files, of sizes around the mean; the first is the oldest."""
        for number in range(files):
            folder = self.folder / ".claude" / "projects" / f"-project-{number % 50}"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{UUID(int=number + 1)}.jsonl"
            with path.open("wb") as file:
                left = self._chance.expovariate(1 / size_bytes) + 500
                while left > 0:
                    line = self.make_line(min(int(self._chance.lognormvariate(6.5, 1.5)), 200_000))
                    left -= file.write(line)
            os.utime(path, (number, number))
            self.paths.append(path)

    def make_line(self, size_bytes: int) -> bytes:
        """A line that hardly packs."""
        text = self._chance.randbytes(size_bytes // 2 + 1).hex()
        return json.dumps({"type": "user", "cwd": "/made/up", "text": text}).encode() + b"\n"

    def measure_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.paths)
