"""What drivers of every kind answer: what had to be done, and what keeps them from working.

The only module that the three driver contracts (storage, targets, hypervisors) share.
"""

from enum import Enum

import msgspec


class Made(Enum):
    """What a method that makes something had to do."""

    CREATED = "created"
    ALREADY_THERE = "already there"


class Removed(Enum):
    """What a method that removes something had to do."""

    DELETED = "deleted"
    WAS_ABSENT = "was absent"


class Problem(msgspec.Struct, frozen=True):
    """One reason why a backend, target or hypervisor cannot work now."""

    name: str
    """Stable name, e.g. "pool-missing", "program-missing", "pool-full"."""
    sentence: str
    """What is wrong, with the value found, e.g. "program tgtadm not found"."""
    fix: str
    """What to do, e.g. "install tgt, or set target = \\"lio\\"."""
