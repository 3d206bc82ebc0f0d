"""The real Postgres and the real NATS server, started from their wheels on a bare machine.

`async with Postgres(...)` and `async with NatsServer(...)` are all the rest of the system sees.
Whatever is started here ends with the process that started it, even when that one is killed.
"""
