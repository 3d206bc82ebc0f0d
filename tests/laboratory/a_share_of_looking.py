"""The work of one generator among several: looks, so many times, at a slot."""

from loadtest.workloads.person import Person


async def shop(share, record) -> None:
    await share.begin()
    async with share.client() as client:
        for number in range(share.args["looks"]):
            journey = number * share.count + share.number
            await Person(client, record, journey, share.rng(number)).look(share.args["slot_id"])
    record.note(looked=share.args["looks"])
