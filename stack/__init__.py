"""The real parts on this machine, without Docker: MinIO, Redis, workers, Flower.

Used by the tests, `make services` and `make demo`; not part of the installed product.
"""
