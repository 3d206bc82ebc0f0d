"""How large batches get by themselves, and what one command per transaction can do at most.

A batch takes t_f + B·t_i (fixed cost of a transaction, cost per command) and the next one is whatever arrived meanwhile; commands also cost
t_http of the same processor. In balance B = λ(t_f + B(t_i + t_http)), so B = λt_f / (1 − λ(t_i + t_http)).
"""

from math import inf


def batch_size(
    rate_per_s: float, *, fixed_ms: float, per_command_ms: float, http_ms: float = 0.0
) -> float:
    """B in balance, at least 1; infinite where the rate is more than the processor can do."""
    busy = rate_per_s * (per_command_ms + http_ms) / 1000
    return inf if busy >= 1 else max(1.0, rate_per_s * fixed_ms / 1000 / (1 - busy))


def singly_max_per_s(lock_held_ms: float) -> float:
    """One row, one command per transaction: at most one per the time its lock is held."""
    return 1000 / lock_held_ms
