"""What an experiment costs the machine, read beside the system instead of asked of it; only where the system is ours.

* `cpu_used` - whose CPU it was
* `memory` - who grows
* `server_load` - CPU of each process and what its Postgres did, between two readings
* `sold_by_the_log` - what was sold, in one statement
* `postgres_programs` - psql and pgbench as children: the laboratory has no database driver
"""
