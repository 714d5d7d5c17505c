"""One log in the store: what its names mean, and how a save, a read and a fold go; no I/O of their own."""
