"""Several query nodes on one read model, each as late as it is told to be; of somebody's deployment, the one address there is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct

from loadtest.driver import Client
from loadtest.system import System
from loadtest.system.part import Part

FILLED_WITHIN_S = 5


class QueryNode(Struct, frozen=True, kw_only=True):
    """A query node: what it is called, a way to it, and its process where it is ours."""

    name: str
    client: Client
    part: Part | None = None


def node_name(lag_ms: int) -> str:
    """What a node of this lag is called in the history."""
    return f"the node {lag_ms} ms behind"


@asynccontextmanager
async def query_nodes(system: System, lags_ms: Sequence[int]) -> AsyncIterator[list[QueryNode]]:
    """A node for each lag, ready.

    Raises:
        CannotRunError: one does not get ready.
    """
    async with AsyncExitStack() as clients:
        if not system.is_ours:
            client = await clients.enter_async_context(system.client())
            yield [QueryNode(name="the system", client=client)]
            return
        parts = await asyncio.gather(
            *(
                system.part("queries", {"PROJECTOR_INJECTED_LAG_MS": str(lag_ms)})
                for lag_ms in lags_ms
            )
        )
        nodes = []
        for lag_ms, part in zip(lags_ms, parts, strict=True):
            client = await clients.enter_async_context(system.client(part.url))
            nodes.append(QueryNode(name=node_name(lag_ms), client=client, part=part))
        yield nodes


async def know_all(nodes: Sequence[QueryNode], slot_ids: Sequence[str]) -> None:
    """Every node is there and has these slots in memory: who is asked for one the first time reads it from the tables, and keeps the asker waiting."""
    for node in nodes:
        if node.part is not None:
            await node.part.until_ready()
    await asyncio.gather(
        *(
            node.client.request(
                "GET",
                f"/v1/slots/{slot_id}",
                headers=[("Cache-Control", "no-cache"), ("Prefer", f"wait={FILLED_WITHIN_S}")],
            )
            for node in nodes
            for slot_id in slot_ids
        )
    )
