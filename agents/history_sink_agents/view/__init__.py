"""A page in the browser, for people who would rather look than read: sessions, turns, branches, pointers.

Transcripts are hostile: all that they hold is escaped, nothing of them runs, and no request leaves the machine.
"""
