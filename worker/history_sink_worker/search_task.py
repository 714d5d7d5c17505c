"""The task of a search worker. Nothing of an index is imported before it is asked: other workers have no such extra."""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from history_sink.errors import Malformed
from history_sink.protocol.contract import RECALL
from history_sink.protocol.pointer import Fault
from history_sink.protocol.search import Question
from history_sink_worker.application import app
from history_sink_worker.archive import reader
from history_sink_worker.intake.privacy import Bytes
from history_sink_worker.service.service import serving
from history_sink_worker.store import StoreError
from history_sink_worker.task import ReadTask
from history_sink_worker.task_errors import refuse, unexpected

if TYPE_CHECKING:
    from history_sink_worker.search.recall import Recall


@app.task(base=ReadTask, name=RECALL)
def session_recall(query: object = None, **asked: Any) -> Bytes | dict[str, str]:
    """Where something was said, as JSON, or the fault that says why that cannot be told."""
    try:
        question = Question.decode({**asked, "query": query})
    except Malformed:  # its text may quote a value, which may be the question in the wrong place
        refuse("not the arguments of a question: see history_sink.protocol.search")
    try:
        answer = _recall().answer(question)
    except StoreError as error:
        answer = reader.fault_of(error)
    except Exception as error:  # noqa: BLE001  # who asks gets an answer, whatever happens
        answer = Fault("backend_error", str(unexpected(error)))
    return answer.encode() if isinstance(answer, Fault) else Bytes(json.dumps(answer.encode()).encode())


@cache
def _recall() -> "Recall":
    from history_sink_worker.search.recall import Recall

    work = serving()
    if work.settings.search_dir is None:
        raise RuntimeError("no folder for an index")  # such a worker does not start: see `search_step`
    return Recall(work, Path(work.settings.search_dir))
