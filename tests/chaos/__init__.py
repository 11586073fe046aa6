"""Chaos: the whole of `pumice serve` under a random load while its processes are killed; then nothing may be left over.

`python -m tests.chaos` runs it at length (`make chaos`), `test_chaos.py` a short part of it each time.
"""
