"""Who attacks the system, and how; each is shared by scenarios, or is the crowd of one of them.

* `person` - one person at the API; `answers` - what they asked and were told, in the words of a history
* `visitors` - a ticket shop's mixed traffic
* `sale` - one slot until it is sold out; `selling_out` - at each staleness; `sale_figures` - what became of it
* `busy_night` - people and readers at a system that is being hurt
* `meanwhile` - what goes on beside all of them until they are gone
* `busy_hall` - looks, pages and bookings at a fixed rate, or as many as are answered
* `own_seats` - everybody books a seat that somebody else looks at for the first time
* `crowded_slots` - more is wanted than there is, and what was really sold
* `sold_out_hall` - waiting for one of the holds to be released
* `many_bookings` - the bytes of requests, as cheap as they come
* `generators` - any of it from several processes, for what one core cannot offer

None of them judges or repeats itself on its own account: that is what scenarios are about.
"""
