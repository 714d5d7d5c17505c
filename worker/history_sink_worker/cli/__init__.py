"""The command `history-sink-worker`. Nothing imports it."""
