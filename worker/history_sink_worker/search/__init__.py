"""Recall: an index of what was said and done, fed from the bucket, that may be thrown away and built anew.

To be read in this order. What goes in: extraction, parts, word_parts, spelling. What it is: fields, places, index.
How it is fed: listed, draft, line_reader, feed, notices, wanted, rebuild, opening, indexer. How it is asked: question,
ranking, said_words, excerpt, recall. `sealed` opens lines where the keys are. tantivy is imported in spelling, fields,
ranking and index alone, and this room by workers alone that take the queue ``history.search``.
"""
