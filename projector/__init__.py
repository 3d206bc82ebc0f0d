"""The read side: projects the event log into read models and answers queries with their age.

Read it in the order of an event: `consumer` (how it arrives), `projections` (what it changes), `guards`
(what keeps that honest), `replica` (what a query node keeps of it in memory), `queries` (what can be
asked) and `api` (under which conditions it is answered). `rebuild`, `verify` and `dead_letters` make the
read model anew, hold it against the log and mend it; `status` shows the pipeline at one look. `process`
puts the projector together, `app` the queries.
"""
