"""Open the index in a search worker's folder that was asked last, or begin an empty one."""

import shutil
from pathlib import Path

from history_sink_worker import log
from history_sink_worker.search.feed import Feed
from history_sink_worker.search.folder import is_of_this_version, new_folder
from history_sink_worker.search.index import Index
from history_sink_worker.service.service import Service

_log = log.get("history_sink_worker")


def open_feed(work: Service, home: Path, named: str | None) -> Feed:
    """For the index in the folder `named`, if it is of this version. What else lies there is left over from a kill."""
    folder = home / (named or "")
    if not is_of_this_version(folder):
        folder = new_folder(home)
    for other in home.glob("index-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    try:
        return Feed(work, Index(folder, is_writer=True))
    except ValueError as error:  # tantivy's word for files that it cannot read
        if "lock" in str(error).lower():
            raise
        _log.error("search index unreadable", consequence="it is built anew", error=type(error).__name__)
        shutil.rmtree(folder, ignore_errors=True)
        return Feed(work, Index(new_folder(home), is_writer=True))
