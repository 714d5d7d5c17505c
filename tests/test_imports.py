"""What an import costs. Who may import whom: `test_structure.py`."""

import subprocess
import sys

import pytest

import history_sink

STORE_SDK = {"boto3", "botocore", "mypy_boto3_s3", "s3transfer"}


def run(program: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip()


def test_an_import_loads_neither_the_queue_nor_the_worker_nor_a_store_sdk() -> None:
    heavy = {"celery", "kombu", "redis", "msgpack", "click", "rich", "asyncio", "history_sink_worker", *STORE_SDK}
    loaded = run("import sys; from history_sink import *; print(*{name.partition('.')[0] for name in sys.modules})")
    assert not set(loaded.split()) & heavy


def test_the_library_is_loaded_with_the_first_of_its_names() -> None:
    program = "import sys, history_sink.errors; before = 'history_sink.sink' in sys.modules; from history_sink import "
    assert run(program + "HistorySink; print(before, 'history_sink.sink' in sys.modules)") == "False True"


def test_what_the_library_does_not_have_is_an_error() -> None:
    with pytest.raises(ImportError, match="cannot import name 'NoSuchName' from 'history_sink'"):
        exec("from history_sink import NoSuchName")
    assert {*history_sink.__all__} <= {*dir(history_sink)}
    assert not hasattr(history_sink, "no_such_name")


def test_a_sink_that_is_disabled_never_loads_the_queue() -> None:
    program = "import sys; from history_sink import HistorySink as S; S().save('s', []); print('kombu' in sys.modules)"
    assert run(program) == "False"


def test_an_import_is_quick() -> None:
    # CPU time: on a busy machine a clock on the wall measures the neighbours.
    program = "import time; start = time.process_time(); from history_sink import *; print(time.process_time() - start)"
    assert min(float(run(program)) for _ in range(3)) < 0.3


def test_a_worker_that_answers_no_questions_loads_no_index() -> None:
    variables = "import os; os.environ['CODETETHER_HISTORY_BROKER_URL'] = 'redis://127.0.0.1:1/0'; "
    program = variables + "import sys, history_sink_worker.tasks, history_sink_worker.search_task; print(*sys.modules)"
    loaded = run(program).split()
    assert "history_sink_worker.search_task" in loaded
    assert not [name for name in loaded if name.startswith(("tantivy", "history_sink_worker.search."))]


def test_the_commands_load_with_a_click_whose_types_are_not_generic() -> None:
    # As those before 8.4 are; `make test-oldest` has one.
    program = """
import pkgutil
from importlib import import_module
from importlib.metadata import entry_points

import click

click.ParamType.__class_getitem__ = None
import history_sink.cli, history_sink_worker.cli

names = [each.name for room in (history_sink.cli, history_sink_worker.cli)
         for each in pkgutil.iter_modules(room.__path__, f"{room.__name__}.")]
names += [each.module for group in ("history_sink.commands", "history_sink.variants")
          for each in entry_points(group=group)]
for name in names:
    import_module(name)
print(len(names))
"""
    assert int(run(program)) > 30
