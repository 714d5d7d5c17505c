"""What a worker's log looks like where no terminal shows it."""

import subprocess
import sys
from pathlib import Path

import pytest

SAY = "from history_sink_worker import log; log.configure(20, 'text', {}); log.get('x').warning('said', bytes=1)"


@pytest.mark.parametrize("is_file", [True, False])
def test_text_has_no_colors_where_no_terminal_shows_it(is_file: bool, tmp_path: Path) -> None:
    file = tmp_path / "log"
    program = SAY.format(repr(str(file)) if is_file else None)
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stderr
    said = file.read_text() if is_file else told
    assert ("said" in said, "bytes=1" in said, "\x1b" in said) == (True, True, False)
