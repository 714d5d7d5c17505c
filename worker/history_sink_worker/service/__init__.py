"""What one process has of the archive: the store, hints, and saves that go together."""
