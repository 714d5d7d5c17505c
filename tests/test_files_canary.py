"""No planted secret in any file that watch, workers, search index, MinIO, Redis and logs leave on disk."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.planted_secrets import WITNESS, Planted, plant
from command import Command
from forked_process import ForkedWorker
from history_sink import HistorySink, Recalled
from history_sink_agents.redaction import Redaction
from layers import unwrap
from stack.minio import MinioServer
from stack.redis import RedisServer
from stack.stack import environment as variables

SESSION = "5ea1ed00-1111-4222-8333-555555555555"
WORD = "quicksilverish"
"""In each line, in the clear."""
_RUN = re.compile(rb"[\w+/=.!-]{12,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{24,}={0,2}")


class Deployment:
    """All of it below one folder: `home` is the user's, `masters` the key; programs write all else."""

    def __init__(self, folder: Path, filters: str) -> None:
        self.folder, self.home = folder, folder / "home"
        self.minio, self.redis = MinioServer(folder / "minio"), RedisServer(folder / "redis")
        self.minio.start()
        self.redis.start()
        for name in ("temporary", "state"):
            (folder / name).mkdir()
        self.variables = {
            **variables(self.minio, self.redis.new_database(), self.minio.create_bucket()),
            "CODETETHER_HISTORY_SEARCH_DIR": str(folder / "index"),
            "CODETETHER_HISTORY_LOG_LEVEL": "DEBUG",
            "TMPDIR": str(folder / "temporary"),
            "XDG_STATE_HOME": str(folder / "state"),
            "HOME": str(self.home),
        }
        self.workers = [
            ForkedWorker(self.variables, log_path=folder / f"{name}.log", name=name, queues=queues, concurrency=2)
            for name, queues in (
                ("both", ("history.upload", "history.read", "history.maintenance")),
                ("search", ("history.search",)),
            )
        ]
        self.command = Command({**self.variables, "CODETETHER_HISTORY_FILTERS": filters})
        if "seal" in filters:
            assert self.command("keys", "make", folder / "masters").status == 0
            masters = {"CODETETHER_HISTORY_SEAL_MASTER_FILE": str(folder / "masters")}
            self.command = Command({**self.command.variables, **masters})

    def stop(self) -> None:
        for worker in self.workers:
            worker.process.kill()
        self.redis.process.kill()
        self.minio.process.kill()

    def write_transcript(self, planted: list[Planted]) -> None:
        path = self.home / ".claude" / "projects" / "-work" / f"{SESSION}.jsonl"
        path.parent.mkdir(parents=True)
        envelope = {"type": "user", "sessionId": SESSION, "cwd": "/work", "note": WORD}
        lines = [{**envelope, "uuid": f"u{n}", "message": json.loads(each.line)} for n, each in enumerate(planted)]
        path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))

    def run(self) -> None:
        """Save without a worker, so that all of it waits in Redis; then watch with workers, until it is indexed."""
        saved = self.command("save", "--no-wait", next(self.home.rglob("*.jsonl")))
        assert saved.status == 0, saved.err
        self.snapshot("waiting.rdb")
        for worker in self.workers:
            worker.start()
        done = self.command("watch", "--once")
        assert done.status == 0, done.err
        with HistorySink.from_env(self.variables) as sink:
            found = sink.recall("anything", session=f"claude.{SESSION}", timeout_seconds=60)
            assert isinstance(found, Recalled), found
        (self.folder / "said").write_bytes(saved.out + saved.err.encode() + done.out + done.err.encode())
        self.snapshot("done.rdb")

    def snapshot(self, name: str) -> None:
        with self.redis.client() as client:
            client.config_set("rdbcompression", "no")
            client.save()
        shutil.copy(self.folder / "redis" / "dump.rdb", self.folder / "redis" / name)

    def read(self) -> Iterator[tuple[Path, bytes]]:
        """Each file, and what is packed or encoded in it."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and self.home not in path.parents and path.name != "masters":
                data = path.read_bytes()
                yield path.relative_to(self.folder), data
                for run in _BASE64.findall(data) if path.parts[-2] != "index" else ():
                    for each in unwrap(run):
                        yield path.relative_to(self.folder), each


def secret_of(each: Planted) -> bytes:
    """Of a URL its password, of a key what is between its lines."""
    secret = each.value.partition("//app:")[2].partition("@")[0] or each.value
    return re.sub(r"-----[A-Z ]+-----", "", secret).encode()


def cut(data: bytes) -> Iterator[bytes]:
    """All that is 12 characters long and may be of a secret: so many are a leak."""
    for run in _RUN.findall(data):
        yield from (run[at : at + WITNESS] for at in range(len(run) - WITNESS + 1))


def has_any(pieces: set[bytes], data: bytes) -> bool:
    return any(each in pieces for each in cut(data.lower()))


@pytest.mark.servers
@pytest.mark.parametrize("filters", ["", "redact", "redact,seal"])
def test_no_file_holds_a_planted_secret_nor_with_sealing_a_line_in_the_clear(tmp_path: Path, filters: str) -> None:
    redaction = Redaction(environment={}, state_folder=tmp_path / "nowhere")
    planted = [each for each in plant(7) if each.is_gone_from(redaction(each.line).decode())]
    assert len(planted) > 140
    deployment = Deployment(tmp_path / "all", filters)
    try:
        deployment.write_transcript(planted)
        deployment.run()
        files: dict[Path, list[bytes]] = {}
        for path, data in deployment.read():
            files.setdefault(path, []).append(data)
    finally:
        deployment.stop()
    pieces_of = {each.lower() for one in planted for each in cut(secret_of(one))}
    leaking = {path.parts[0] for path, parts in files.items() if any(has_any(pieces_of, each) for each in parts)}
    clear = {path.parts[0] for path, parts in files.items() if any(WORD.encode() in each for each in parts)}
    assert {path.parts[0] for path in files} >= {"minio", "redis", "index", "state", "both.log", "search.log", "said"}
    assert {"waiting.rdb", "done.rdb"} <= {path.name for path in files}
    told = {"minio", "redis"}  # the index cuts words to pieces: test_redaction_canary asks it for them
    if not filters:  # who looks finds what is there
        assert told <= leaking <= {*told, "index"}
    else:
        assert leaking == set()
    assert (clear == set()) if "seal" in filters else (told <= clear <= {*told, "index"})
