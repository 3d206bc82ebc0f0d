"""Ids made here: UUIDv7, so that ids made later sort later and indexes grow at their end."""

import random
import time
from uuid import UUID

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62
_RANDOM_74 = (0xFFF << 64) | ((1 << 62) - 1)
"""12 bits behind the version and 62 behind the variant are chance."""


def uuid7() -> UUID:
    """A new UUIDv7: 48 bits of wall clock in ms, the rest is chance.

    The clock only makes neighbours in time neighbours in the index; nothing is decided by it.
    """
    ms = time.time_ns() // 1_000_000
    # Identifiers, not secrets: the kernel's generator would cost a system call each.
    chance = random.getrandbits(76) & _RANDOM_74
    return UUID(int=(ms << 80) | _VERSION_7 | _VARIANT | chance)
