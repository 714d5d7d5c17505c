"""How long data lives: delete sessions, prune old ones, and verify what is there."""
