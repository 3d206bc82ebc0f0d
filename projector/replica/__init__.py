"""A query node's memory: what it holds of the read model, and how that stays true without asking each time.

* `node` - the parts of one node, opened once per process
* `memory` - the replica itself: slots, each in the newest version heard of, or nothing; `rules` are
  what keeps it true
* `feed`, `poll` - the two ways of hearing: the projector's messages, or the tables asked again and again
* `follower` - takes in what was heard, in order, and wakes who waits for a position; `watchers` are
  who follows which slot
* `slots` - slots by id, from memory where they are held and from the tables where not
* `calendars` - the same for all slots of a resource, of which each is a `resource_calendar`
* `metrics` - what Prometheus learns about it

It knows no HTTP: under which conditions something is answered, `projector.api` says.
"""
