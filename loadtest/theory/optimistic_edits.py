"""If-Match on a hot counter is a dead-time detector: while one edit is under way (D from reading to deciding), all others on that version fail.

Like a detector that is blind for D after each count: of attempts at rate λ the share 1/(1 + λD) succeeds, so goodput is λ/(1 + λD) and never
above 1/D, however many try. Use it for edits, not for booking. (Non-paralysable dead time: Knoll, Radiation Detection and Measurement, ch. 4.)
"""


def goodput_per_s(attempts_per_s: float, dead_time_ms: float) -> float:
    """λ/(1 + λD)."""
    return attempts_per_s / (1 + attempts_per_s * dead_time_ms / 1000)


def goodput_max_per_s(dead_time_ms: float) -> float:
    """1/D, what no number of editors can exceed."""
    return 1000 / dead_time_ms
