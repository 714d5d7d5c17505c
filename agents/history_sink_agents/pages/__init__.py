"""Pages: which messages of a history a context must have, which may shrink or be evicted, and what was not kept.

Pure, but for the archive, where a page becomes a pointer or is fetched back.
"""

from history_sink_agents.pages.archive import Archive
from history_sink_agents.pages.assembly import Context, Measure, Omitted, Placed
from history_sink_agents.pages.content import Content, canonical_arguments, measure_bytes
from history_sink_agents.pages.kinds import (
    KINDS,
    LEVELS,
    Level,
    PageKind,
    classify,
    degradation_path,
    min_fidelity,
)
from history_sink_agents.pages.page import Fetched, Page, PageFault
from history_sink_agents.pages.pages import Pages
from history_sink_agents.pages.sidecar import Sidecar

__all__ = [
    "KINDS",
    "LEVELS",
    "Archive",
    "Content",
    "Context",
    "Fetched",
    "Level",
    "Measure",
    "Omitted",
    "Page",
    "PageFault",
    "PageKind",
    "Pages",
    "Placed",
    "Sidecar",
    "canonical_arguments",
    "classify",
    "degradation_path",
    "measure_bytes",
    "min_fidelity",
]
