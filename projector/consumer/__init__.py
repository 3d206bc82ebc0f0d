"""From the stream into the read model: one loop, six steps.

* `stream` - what arrives: events by an own pull loop, heartbeats of the relay; `silence` stands in
  for it where the log is polled; `straight` is an event's way through the driver
* `order` - what of it comes next: repeats dropped, jumps seen
* `intake` - the stream where it can, the log where it must
* `due` - what may be known yet (the laboratory delays it)
* `apply` - rows and checkpoint in one transaction
* `announce` - the change feed for query nodes

`projector` runs them, or waits in `stand_by` while another does; `report` says once a second how it goes.
"""
