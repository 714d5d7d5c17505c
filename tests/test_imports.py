"""Who may import whom, and what `import history_sink` costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PRODUCER = sorted((REPOSITORY / "producer" / "history_sink").glob("**/*.py"))
WORKER = sorted((REPOSITORY / "worker" / "history_sink_worker").glob("**/*.py"))
STORE_SDK = {"boto3", "botocore", "mypy_boto3_s3", "s3transfer"}
CONTRACT = {  # what two programs share, and nothing of the producer's own
    "address", "broker_urls", "chain", "contract", "dashes", "errors", "kinds", "lines", "listing", "messages",
    "names", "outcome", "plain", "pointer", "secret_files", "status", "upload",
}  # fmt: skip


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: absolute imports only"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots_of(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(path)}


def test_there_is_something_to_look_at() -> None:
    assert len(PRODUCER) > 10
    assert len(WORKER) > 10


@pytest.mark.parametrize("path", PRODUCER, ids=lambda path: path.name)
def test_the_producer_knows_neither_the_worker_nor_a_store(path: Path) -> None:
    assert not roots_of(path) & {"history_sink_worker", "structlog", *STORE_SDK}


@pytest.mark.parametrize("path", WORKER, ids=lambda path: path.name)
def test_the_worker_knows_the_contract_and_one_home_of_boto3(path: Path) -> None:
    if path.parent.name != "s3":
        assert not roots_of(path) & STORE_SDK
    shared = {name.split(".")[1] for name in imports_of(path) if name.startswith("history_sink.")}
    assert shared <= CONTRACT


def run(program: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip()


def test_an_import_loads_neither_the_queue_nor_the_worker_nor_a_store_sdk() -> None:
    heavy = {"celery", "kombu", "redis", "msgpack", "click", "rich", "asyncio", "history_sink_worker", *STORE_SDK}
    loaded = run("import sys, history_sink; print(' '.join({name.partition('.')[0] for name in sys.modules}))")
    assert not set(loaded.split()) & heavy


def test_a_sink_that_is_disabled_never_loads_the_queue() -> None:
    program = "import sys; from history_sink import HistorySink as S; S().save('s', []); print('kombu' in sys.modules)"
    assert run(program) == "False"


def test_an_import_is_quick() -> None:
    # CPU time: on a busy machine a clock on the wall measures the neighbours.
    program = "import time; start = time.process_time(); import history_sink; print(time.process_time() - start)"
    assert min(float(run(program)) for _ in range(3)) < 0.3
