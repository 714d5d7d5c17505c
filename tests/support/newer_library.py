"""Makes a worker of test_waiting.py one of a later version."""

from history_sink_worker import uploads

assert vars(uploads)["WIRE_VERSION"] == 1  # where it is looked up: a name that has moved would be set in vain
vars(uploads)["WIRE_VERSION"] = 2
