"""Copies the log to the stream: *stream sequence = log position*, healed by arithmetic alone.

* `run` - the process: connections, the loop, its health and its numbers
* `relay` - one round of it
* `agree` - compares log and stream (`compare`), and makes the stream anew when it must (`stream`)
* `read_log`, `publish`, `heartbeat` - what a round does
"""

from booking.relay.run import run

__all__ = ["run"]
