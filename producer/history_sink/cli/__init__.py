"""The command `history-sink`. Nothing imports it."""
