"""What should be measured, before anybody measures: pure functions, each tested against a small simulation; scenarios are drawn beside them.

* `staleness_budget` - what staleness costs at a sell-out
* `stale_reads` - how often a read is stale, and by how much
* `churn` - why phantoms and false sold-outs come equally often
* `read_your_writes` - who misses what they just wrote
* `looking_twice` - how often time runs backwards between two nodes
* `optimistic_edits` - what If-Match costs on a hot counter
* `batching` - how large batches get by themselves
"""
