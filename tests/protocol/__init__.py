"""The shipped archive, compaction and reader under a scheduler that interleaves, kills and loses answers."""
