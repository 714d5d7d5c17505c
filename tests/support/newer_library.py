"""Makes a worker of test_waiting.py one of a later version."""

from history_sink_worker import uploads

assert vars(uploads)["LATEST_VERSION"] == 2  # where it is looked up: a name that has moved would be set in vain
vars(uploads)["LATEST_VERSION"] = 3
