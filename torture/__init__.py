"""`make torture`: real producers, queue, workers and store under a seeded adversary; then every byte is accounted for.

Not part of the installed product.
"""
