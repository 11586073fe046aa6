"""Python's cycle collector, for processes that live long and make few cycles.

With its defaults it took 4 to 6 % of the processor time under load, looking again and again at modules and statements
that never go away. What is there once the process is built is left out for ever; the young generation is larger.
"""

import gc

_YOUNG = 20_000
"""Objects made more than freed before the collector looks; the default is 700."""


def settle() -> None:
    """Call it once, when everything long-lived is there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)
