"""The sceptic: knows the system by HTTP only, attacks it with guards off and on, and judges what the event log says.

An experiment passes through these rooms in this order:

* `cli` - what a person can ask for; `run` carries it out, scenario by scenario; `soak` is the one that lasts as long as one likes
* `scenarios` - one file per claim; `experiment` - what a scenario, its arms and its findings are, and where it works
* `system` - what is attacked: parts, operators' commands, what is on sale; `instruments` - what it costs that system
* `workloads` - who attacks it, and how: people, sales, crowds; `driver` - their requests; `faults` - what goes wrong meanwhile
* `history` - what was done and answered; `evidence` - what happened according to that and the log
* `checkers` - whether it may have; `verdict` - valid, invalid or unknown; `theory` - what should have been measured
* `reports` - all of it for a reader
* `bench` - how fast, taking turns with `baselines`

`failures` is the one sentence that stops an experiment before it can say anything.
"""
