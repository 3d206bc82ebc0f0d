"""The routes of resources: create one, change its policy, open its slots."""

from uuid import UUID

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from booking.api import headers
from booking.api.desk import UNDECIDED, Desk
from booking.api.documents import ResourceShown, SlotsOpened
from booking.commands import CreateResource, OpenSlots, SetPolicy
from booking.edge.answers import Answer
from booking.edge.requests import StrictRequest
from booking.guards import inventory
from booking.identities import uuid7

SCOPES = ("inventory:write",)


def routes(desk: Desk) -> list[HTTPRouteHandler]:
    """The routes of resources, served by `desk`."""

    @post(
        "/v1/resources",
        opt={
            "scopes": SCOPES,
            "headers": headers.with_key,
            "request_headers": headers.OF_EVERY_COMMAND,
            "required_headers": (headers.KEY,),
            "response_headers": headers.ANSWERED_NEW,
            "answers": {201: ResourceShown},
            "problems": ("idempotency-key-missing", "already-exists", *UNDECIDED),
        },
    )
    async def create_resource(request: StrictRequest, data: JSONBody[CreateResource]) -> Answer:
        """Create a resource with its policy."""
        call = desk.call(request, data)
        resource_id = data.resource_id or uuid7()
        decision = desk.inventory.decide(
            data,
            call.command_id,
            lambda connection: inventory.create_resource(connection, call, data, resource_id),
        )
        return await desk.answer(request, decision)

    @post(
        "/v1/resources/{resource_id:uuid}/policy",
        opt={
            "scopes": SCOPES,
            "headers": headers.with_version,
            "request_headers": headers.OF_EXISTING,
            "required_headers": (headers.VERSION,),
            "response_headers": headers.ANSWERED_ENTITY,
            "answers": {200: ResourceShown},
            "problems": (
                "resource-not-found",
                "precondition-required",
                "version-mismatch",
                *UNDECIDED,
            ),
        },
        status_code=200,
    )
    async def set_policy(
        request: StrictRequest, resource_id: FromPath[UUID], data: JSONBody[SetPolicy]
    ) -> Answer:
        """Change the rules of a resource, for the bookings and slots to come."""
        call = desk.call(request, data)
        decision = desk.inventory.decide(
            data,
            call.command_id,
            lambda connection: inventory.set_policy(connection, call, data, resource_id),
        )
        return await desk.answer(request, decision)

    @post(
        "/v1/resources/{resource_id:uuid}/slots",
        opt={
            "scopes": SCOPES,
            "headers": headers.with_key,
            "request_headers": headers.OF_EVERY_COMMAND,
            "required_headers": (headers.KEY,),
            "response_headers": headers.ANSWERED,
            "answers": {201: SlotsOpened},
            "problems": (
                "idempotency-key-missing",
                "resource-not-found",
                "already-exists",
                *UNDECIDED,
            ),
        },
    )
    async def open_slots(
        request: StrictRequest, resource_id: FromPath[UUID], data: JSONBody[OpenSlots]
    ) -> Answer:
        """Open slots of a resource: all or none, one event each, in the order sent."""
        call = desk.call(request, data.in_utc())
        decision = desk.inventory.decide(
            data,
            call.command_id,
            lambda connection: inventory.open_slots(connection, call, data, resource_id, uuid7),
        )
        return await desk.answer(request, decision)

    return [create_resource, set_policy, open_slots]
