"""What is attacked: a system of the laboratory's own, or somebody's deployment behind a URL, in one shape.

* `system` - the shape: an address, clients, the log, and, where it is ours, processes and faults
* `booking_up` - `booking up` as a child; `part` - one more process beside it; `command` - an operator's command;
  `child_processes` - how any of them ends
* `query_nodes`, `doors` - several processes of the read side, of the write side
* `inventory` - what is on sale; `filling` - a past; `giving_back` - a deployment left as it was
* `event_log`, `metrics` - what the system says of itself
* `ten_guards` - the ways to guard the last place, by the names of BOOKING_GUARD
"""

from loadtest.system.system import Beside, LogFile, System, deployed, embedded

__all__ = ["Beside", "LogFile", "System", "deployed", "embedded"]
