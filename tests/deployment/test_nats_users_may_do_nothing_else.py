"""Every NATS user tries every subject, to speak and to listen: what docs/operations.md names, and nothing else."""

import re
from contextlib import asynccontextmanager

import nats
import pytest
from compose import REPOSITORY, SECRETS
from documented_rights import listed, rights
from eventually import eventually
from mounted_nats import mounted_nats

CONFIGURATION = REPOSITORY / "deploy/nats.conf"
USERS = ("api", "relay", "projector", "queries")
NOBODYS = (
    ">",
    "*",
    "anything",
    "booking.>",
    "booking.made.up",
    "$SYS.>",
    "$SYS.REQ.SERVER.PING",
    "$JS.>",
    "$JS.API.>",
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.CREATE.ANOTHER",
    "$JS.API.STREAM.DELETE.ANOTHER",
    "$JS.API.STREAM.UPDATE.BOOKING_EVENTS",
    "$JS.API.STREAM.PURGE.BOOKING_EVENTS",
    "$JS.API.STREAM.MSG.DELETE.BOOKING_EVENTS",
    "$JS.API.STREAM.SNAPSHOT.BOOKING_EVENTS",
    "$JS.API.STREAM.RESTORE.BOOKING_EVENTS",
    "$JS.API.DIRECT.GET.BOOKING_EVENTS",
    "$JS.API.CONSUMER.NAMES.BOOKING_EVENTS",
    "$JS.API.CONSUMER.LIST.BOOKING_EVENTS",
    "$JS.API.CONSUMER.DURABLE.CREATE.BOOKING_EVENTS.x",
    "$JS.API.CONSUMER.CREATE.ANOTHER",
    "$JS.ACK.BOOKING_EVENTS.x.1.1.1.1.1",
)
"""What the server knows beside that, or a mistake might say: for no user."""
LAST_OF_ALL = "and.that.was.all"


@pytest.fixture(scope="module")
async def address(tmp_path_factory):
    async with mounted_nats(tmp_path_factory.mktemp("mounted_nats")) as address:
        yield address


@asynccontextmanager
async def connected(user: str, address: str):
    refused: set[str] = set()

    async def note(error: Exception) -> None:
        refused.update(re.findall(r'(?:publish|subscription) to "[^"]*"', str(error).lower()))

    client = await nats.connect(
        f"nats://{address}",
        user=user,
        password=SECRETS[f"NATS_{user.upper()}_PASSWORD"],
        error_cb=note,
        allow_reconnect=False,
    )
    try:
        yield client, refused
    finally:
        await client.close()


async def tried(user: str, address: str, subjects: list[str]) -> dict[str, set[str]]:
    """What the server lets a user do, by subject: all that it does not refuse by name."""
    async with connected(user, address) as (client, refused):
        for subject in subjects:
            await client.subscribe(subject)
            await client.publish(_sample(subject), b"{}")
        await client.publish(LAST_OF_ALL, b"")
        await client.flush()
        # Refusals come in the order of what was sent, so with this one all have come.
        await eventually(lambda: _publishing(LAST_OF_ALL) in refused)
        return {
            subject: {
                *({"publish"} if _publishing(_sample(subject)) not in refused else ()),
                *({"subscribe"} if _subscribing(subject) not in refused else ()),
            }
            for subject in subjects
        }


def _sample(subject: str) -> str:
    """Nobody can speak to a wildcard."""
    return re.sub(r"[>*]$", "sample", subject)


def _publishing(subject: str) -> str:
    return f'publish to "{subject}"'.lower()


def _subscribing(subject: str) -> str:
    return f'subscription to "{subject}"'.lower()


@pytest.mark.parametrize("user", USERS)
async def test_a_user_may_do_what_is_documented_and_nothing_else(address, user):
    documented = rights("NATS users")
    found = await tried(user, address, [*documented, *NOBODYS])
    wrong = {
        subject: sorted(words) or "nothing"
        for subject, words in found.items()
        if words != (listed(documented[subject][user]) if subject in documented else set())
    }
    assert not wrong, (
        f"docs/operations.md, NATS users, says otherwise or nothing of what {user} may: {wrong}"
    )


def test_every_subject_of_the_configuration_is_documented():
    """So a new right needs a line in the table, and with it every other user is tried on it."""
    lines = [line.partition("#")[0] for line in CONFIGURATION.read_text().splitlines()]
    allowed = {subject for line in lines for subject in re.findall(r'"([^"]+)"', line)} - {">"}
    undocumented = allowed - rights("NATS users").keys()
    assert not undocumented, f"add to docs/operations.md, NATS users: {undocumented}"
