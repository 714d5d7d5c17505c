"""For a worker of test_memory.py: what is kept by a reference cycle is kept for good, and so can be measured."""

import gc

gc.disable()
