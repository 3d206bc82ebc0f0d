"""The menu of checkers: pure functions from a history and the log to a judgement with witnesses.

* `no_overbooking` - no unit is sold twice
* `integrity` - the log agrees with itself and with the answers
* `real_time_order` - commands are decided in an order that agrees with real time
* `honest_refusals` - who was refused could not have had it
* `honest_reads` - what is shown was true, and no older than promised
* `read_your_writes`, `monotonic_reads`, `writes_follow_reads` - what one person sees
* `units_are_conserved` - every reading holds all the units there are
* `conservation` - counters are the sums of bookings; all lines or none
* `whole_stays` - all slots of a stay or none
* `one_booking_per_intent` - tried often, done once
* `ownership` - one owner at a time
* `neighbours_served` - a command that fails fails alone
* `no_deadlock` - nobody waits in a circle
* `dense_numbers` - positions and versions without holes
* `every_event_delivered` - the reader got every event of the log
* `no_drift` - the read model at rest says what the log says
* `no_lost_update` - accepted changes build on each other

`journeys` is what those have in common that follow one person. Each favours the system wherever it cannot know, so that a witness is certain.
"""
