"""Sealing: what a line costs to seal and to open, and what becomes of its size."""

import secrets
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Findings, Goal, Table
from bench.measures.producer import make_message
from bench.options import Options
from bench.scene import Scene
from history_sink.protocol.chain import ORIGIN, advance
from history_sink.protocol.lines import encode_line
from history_sink_agents.sealing import Keyring, Opener, Sealing
from history_sink_agents.sealing.keyring import identify_master

_BATCH = 64
"""Lines in an extent, for what packing makes of them."""


def measure(scene: Scene, options: Options) -> Findings:
    """In CPU time of one thread. `scene` is not needed."""
    del scene
    master = secrets.token_bytes(32)
    keyring = Keyring({identify_master(master): master})
    lines = [encode_line(make_message(number)).data for number in range(200)] * options.pick(50, 500)
    with TemporaryDirectory() as folder:
        seal = Sealing(keyring, Path(folder)).for_session("s")
    sealed: list[bytes] = []

    def seal_all() -> None:
        before = ORIGIN
        for line in lines:
            sealed.append(seal.filter_at(line[:-1], before) + b"\n")
            before = advance(before, sealed[-1])

    sealing = _time(seal_all)
    opened: list[bytes] = []
    opening = _time(lambda: opened.extend(Opener(keyring).open_log("s", sealed)))
    assert opened == lines
    plain_bytes, sealed_bytes = sum(map(len, lines)), sum(map(len, sealed))
    packed = [len(zlib.compress(b"".join(each[:_BATCH]))) for each in (lines, sealed)]
    return Findings(
        name="seal",
        title="Sealing",
        goals=(
            Goal("microseconds to seal a line of 3 KB", 1e6 * sealing / len(lines), "at most", 25),
            Goal("microseconds to open it, in a whole log", 1e6 * opening / len(lines), "at most", 25),
        ),
        tables=(
            Table(
                "Bytes",
                ("of", "plain", "sealed", "ratio"),
                (
                    (f"{len(lines):,} lines in the store", plain_bytes, sealed_bytes, sealed_bytes / plain_bytes),
                    (f"{_BATCH} lines, packed by zlib, in Redis", *packed, packed[1] / packed[0]),
                ),
            ),
        ),
        notes=("The chain over the lines is part of both times. All lines were opened, and compared.",),
    )


def _time(act: Callable[[], object]) -> float:
    began = time.thread_time()
    act()
    return time.thread_time() - began
