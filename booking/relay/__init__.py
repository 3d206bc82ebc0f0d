"""Copies the log to the stream: *stream sequence = log position*, healed by arithmetic alone.

* `run` - the process and its loop; `condition` - its health and its numbers
* `open_log`, `connect_nats` - the two sides it stands between
* `relay` - one round of it
* `agree` - compares log and stream (`compare`), and makes the stream anew when it must (`stream`)
* `read_log`, `publish`, `heartbeat` - what a round does
"""

from booking.relay.run import run

__all__ = ["run"]
