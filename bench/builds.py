"""Two builds of ours side by side: this one, and an older one by its commit, both on this environment's packages."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from bench.memory import peak_megabytes
from bench.scene import THREADS, Place, Scene
from stack.worker import CELERY, RUN

ROOT = Path(__file__).parents[1]
_SIDE_TIMEOUT_SECONDS = 240


def unpack(commit: str, directory: Path) -> Path:
    """That commit's tree, in `directory`. Raises `subprocess.CalledProcessError`: there is no such commit."""
    made = subprocess.run(["git", "-C", str(ROOT), "archive", commit], check=True, stdout=subprocess.PIPE)
    with tarfile.open(fileobj=BytesIO(made.stdout)) as tree:
        tree.extractall(directory, filter="data")
    return directory


def search_path(tree: Path) -> str:
    """PYTHONPATH with a build's packages before those that are installed, and this benchmark behind them."""
    return os.pathsep.join(map(str, (tree / "producer", tree / "worker", ROOT)))


def way_to_start(tree: Path) -> tuple[str, ...]:
    """How that build's compose.yaml starts a worker, behind `python -m`."""
    return RUN if (tree / "worker" / "history_sink_worker" / "cli" / "run.py").is_file() else CELERY


@dataclass(frozen=True)
class Build:
    """One build's worker, with servers of its own, so that what they count is this build's alone."""

    name: str
    path: str
    scene: Scene
    place: Place
    worker_pid: int

    @property
    def pids(self) -> dict[str, int]:
        return {"worker": self.worker_pid, "Redis": self.scene.redis.process.pid, "store": self.scene.minio.process.pid}

    def run(self, action: str, messages: Path, **given: Any) -> dict[str, Any]:
        """One action of `bench.build_side` by this build's library."""
        common = {"broker_url": self.place.broker_url, "pids": self.pids, "bucket": self.place.bucket}
        text = json.dumps({**common, "messages": str(messages), **given})
        done = subprocess.run(
            [sys.executable, "-m", "bench.build_side", action, text],
            env={**os.environ, "PYTHONPATH": self.path},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=_SIDE_TIMEOUT_SECONDS,
        )
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures

    def peak_megabytes(self) -> float:
        """Of the worker, so far."""
        return peak_megabytes(self.worker_pid)


def profile_save(tree: Path, place: Place, messages: Path) -> dict[str, float]:
    """What `bench.one_save` finds of a build."""
    environment = {**os.environ, **place.changed(idle_seconds="3600").environment, "PYTHONPATH": search_path(tree)}
    command = [sys.executable, "-m", "bench.one_save", str(messages)]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=_SIDE_TIMEOUT_SECONDS
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


@contextmanager
def start_builds(scene: Scene, commit: str) -> Iterator[tuple[Build, Build]]:
    """The older one and this one, each with a worker that is ready, started as its own compose.yaml does it."""
    tree = unpack(commit, scene.stack.directory / "older")
    with ExitStack() as running:
        built = []
        for name, root in ((commit, tree), ("now", ROOT)):
            path = search_path(root)
            own = running.enter_context(Scene())
            # No log gets idle: it would be folded in the other build's turn.
            place = own.place().changed(idle_seconds="3600")
            place = Place({**place.environment, "PYTHONPATH": path}, place.bucket)
            (worker,) = running.enter_context(own.workers(place, threads=THREADS, way=way_to_start(root)))
            built.append(Build(name, path, own, place, worker.process.pid))
        yield built[0], built[1]
