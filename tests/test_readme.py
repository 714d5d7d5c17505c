"""README.md: what it shows to be pasted is pasted and run, and what it says of settings is what is read."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from history_sink.settings import ProducerSettings
from history_sink_worker.settings import WorkerSettings
from stack.minio import MinioServer
from stack.processes import Process, free_port
from stack.stack import producer_environment

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
PROGRAMS = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"no {language} in README.md"
    return found


def block_with(language: str, text: str) -> str:
    return next(block for block in blocks(language) if text in block)


@pytest.fixture(scope="module")
def operator(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, ...]]:
    """The operator's lines, each running as it stands there but for Flower's port."""
    worker_line, flower_line = block_with("sh", "history-sink-worker run").splitlines()
    directory = tmp_path_factory.mktemp("operator")
    started = []
    for name, line in (("worker", worker_line), ("Flower", f"{flower_line} --port={free_port()}")):
        command = [word.replace(".venv/bin", str(PROGRAMS)) for word in shlex.split(line)]
        started.append(
            Process(name, command, log_path=directory / f"{name}.log", environment={**os.environ, **environment})
        )
    worker, flower = started
    try:
        worker.start(lambda: re.search(r"celery@\S+ ready", worker.log()) is not None)
        flower.start(lambda: "Visit me at" in flower.log())
        yield worker, flower
    finally:
        flower.stop(timeout_seconds=5)
        worker.stop()


@pytest.fixture
def producer(environment: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **producer_environment(environment), "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}


def test_the_authors_lines_and_the_operators_lines_work_together(
    operator: tuple[Process, ...],
    producer: Mapping[str, str],
    minio_server: MinioServer,
    bucket: str,
) -> None:
    save, read, plain = (block_with("python", text) for text in ("HistorySink", "sink.read", "send_task"))
    assert len(save.splitlines()) == 4
    check = """
expected = "".join(json.dumps(each, ensure_ascii=False, separators=(",", ":")) + "\\n" for each in messages).encode()
assert whole == expected, whole
assert answer == b"".join(expected.splitlines(keepends=True)[:2]), answer
"""
    code = f"import json\n{save}\n{read}\n{check}\n{plain}\nassert sink.flush('my-session')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=producer, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(block_with("text", "enqueued"))
    assert "LogStatus" in done.stdout
    keys = wait_for_keys(minio_server, bucket, "history/their-session/history.jsonl")
    assert "history/my-session/history.jsonl" in keys


def wait_for_keys(minio_server: MinioServer, bucket: str, wanted: str) -> list[str]:
    client = minio_server.client()
    client.get_waiter("object_exists").wait(Bucket=bucket, Key=wanted, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    return [each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]]


def test_the_commands_work_as_they_stand_there(
    operator: tuple[Process, ...], producer: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "transcripts").mkdir()
    transcript = b'{"role":"user"}\n{"role":"assistant","content":"\xc3\xa6"}\n{"role":"tool"}\n'
    (tmp_path / "transcripts" / "monday.jsonl").write_bytes(transcript)
    shown = {}
    for line in block_with("sh", "history-sink check").splitlines():
        done = subprocess.run(
            ["sh", "-c", line], cwd=tmp_path, env=producer, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        shown[line.split()[1]] = done.stdout
    assert b"monday" in shown["list"]
    assert shown["resolve"] == b"".join(transcript.splitlines(keepends=True)[:2])
    assert (tmp_path / "monday.jsonl").read_bytes() == transcript


def test_each_setting_is_in_the_table_and_each_in_the_table_is_read() -> None:
    read: set[str] = set()

    class Recorder(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            read.add(name.removeprefix("CODETETHER_HISTORY_"))
            return super().get(name, default)

    required = ("S3_ENDPOINT", "S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY", "BROKER_URL")
    values = dict(zip(required, ("http://minio:9000", "bucket", "a", "s", "redis://redis"), strict=True))
    recorder = Recorder({f"CODETETHER_HISTORY_{name}": value for name, value in values.items()})
    ProducerSettings.from_env(recorder)
    by_producer = set(read)
    WorkerSettings.from_env(recorder)
    rows = [line.split("|") for line in TEXT.splitlines() if line.startswith("| `…")]
    told = {name: row[2].strip() for row in rows for name in re.findall(r"`…(\w+)`", row[1])}
    assert set(told) == read - {"ALLOW_UNSAFE_TIMES"}  # it is for developers: CONTRIBUTING.md
    assert {name for name, who in told.items() if who != "worker"} == by_producer


def test_the_targets_and_files_that_documents_name_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in (ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")):
        text = path.read_text()
        assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            assert (ROOT / link).exists(), (path.name, link)
