"""Events reach their taker without the driver's queue; every other message goes the driver's way."""

from collections.abc import AsyncIterator

import nats
import pytest
from eventually import eventually
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from projector.consumer.straight import StraightClient

STREAM, SUBJECT = "SAID", "said"
REFUSED = b"nonsense"
WHAT_IS_THERE = b'{"batch": 100, "no_wait": true}'


class Taker:
    """Keeps what comes to it, straight or by the driver."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.replies: list[bytes] = []
        self.words: list[Msg] = []

    def take(self, reply: bytes, payload: bytes) -> None:
        if payload == REFUSED:
            raise ValueError(payload)
        self.replies.append(reply)
        self.events.append(payload)

    async def hear(self, message: Msg) -> None:
        self.words.append(message)

    def ends(self) -> bool:
        """Whether a pull was said to have brought all there was."""
        return any((message.headers or {}).get("Status") == "404" for message in self.words)


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
async def client(fresh_nats, taker) -> AsyncIterator[StraightClient]:
    client = StraightClient(taker.take)
    await client.connect(fresh_nats.url)
    yield client
    await client.close()


@pytest.fixture
async def broker(fresh_nats) -> AsyncIterator[Client]:
    """Another connection, and a stream of what is said."""
    broker = await nats.connect(fresh_nats.url)
    await broker.jetstream().add_stream(StreamConfig(name=STREAM, subjects=[SUBJECT]))
    yield broker
    await broker.close()


async def say(broker: Client, *payloads: bytes) -> None:
    for payload in payloads:
        await broker.jetstream().publish(SUBJECT, payload, headers={"Told-By": "a test"})


async def listening(client: Client, inbox: str, taker: Taker, broker: Client) -> Subscription:
    """Subscribe, and wait until the broker knows: right after a flush it still loses one of thirty."""
    subscription = await client.subscribe(inbox, cb=taker.hear)

    async def heard() -> bool:
        await broker.publish(inbox, b"a question", reply="somebody")
        return any(message.subject == inbox for message in taker.words)

    await eventually(heard)
    return subscription


async def pull(client: Client, inbox: str) -> None:
    """Ask for everything that was said."""
    consumer = await client.jetstream().add_consumer(
        STREAM, config=ConsumerConfig(ack_policy=AckPolicy.NONE)
    )
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer.name}"
    await client.publish(subject, WHAT_IS_THERE, reply=inbox)


async def test_what_is_no_event_goes_the_way_of_the_driver(client, broker, taker):
    await listening(client, "here", taker, broker)
    assert {message.data for message in taker.words} == {b"a question"}
    assert not taker.events


async def test_events_come_to_their_taker_and_the_word_about_the_pull_to_the_callback(
    client, broker, taker
):
    await say(broker, b"one", b"two")
    await listening(client, "here", taker, broker)
    await pull(client, "here")
    await eventually(taker.ends)
    assert taker.events == [b"one", b"two"]
    assert all(reply.startswith(b"$JS.ACK.SAID.") for reply in taker.replies)


async def test_an_event_that_its_taker_refuses_does_not_end_the_reading(client, broker, taker):
    await say(broker, REFUSED, b"sense")
    await listening(client, "here", taker, broker)
    await pull(client, "here")
    await eventually(lambda: taker.events == [b"sense"])


async def test_what_still_comes_of_a_subscription_that_has_ended_is_dropped(client, broker, taker):
    await say(broker, b"one")
    ended = await listening(client, "there", taker, broker)
    await listening(client, "here", taker, broker)
    client._remove_sub(ended._id)  # the broker has not heard of it
    await pull(client, "there")
    await pull(client, "here")
    await eventually(taker.ends)
    assert taker.events == [b"one"]
