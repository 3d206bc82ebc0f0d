"""What is said: the leaf that both sides may import.

Everything here is vocabulary on the wire: event types, the envelope, subjects, messages and the
consistency token. It needs nothing but msgspec and the standard library, decides nothing and
knows neither database nor broker.

* `facts` - the menu of event types and what each carries
* `envelope` - one event as it travels and as `/v1/events` shows it
* `upcasters` - how an event of an older schema is said today
* `subjects` - where it travels
* `messages` - the heartbeat and the read side's change feed
* `tokens` - a position of the log that a client carries from one request to the next
"""
