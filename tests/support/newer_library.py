"""Makes a worker of test_waiting.py one of a later version."""

from history_sink_worker import tasks

vars(tasks)["WIRE_VERSION"] = 2
