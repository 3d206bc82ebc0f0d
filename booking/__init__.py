"""The write side: it decides, by conditional writes in Postgres, and says what it decided.

Read it in the order of a booking: `commands` (what can be asked), `guards` (who decides, and how),
`schema` (the functions in which the decision is made), `events` (what is said), `relay` (how it
travels). `api` translates HTTP, `edge` is where any process meets the outside, `embedded` brings
real servers to a bare machine, and `app` puts it together.
"""
