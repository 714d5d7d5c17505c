"""The shipped protocol under seeded adversaries.

`scheduler` has one log: it interleaves workers, compactions and readers at every request, kills them and loses answers.
`world` has the whole path of a session, from several producers through the queue to the store; for as long as you like
by `python -m tests.protocol`.
"""
