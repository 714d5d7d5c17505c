"""What one process knows of one session. Pure: no clock, no thread, no socket."""
