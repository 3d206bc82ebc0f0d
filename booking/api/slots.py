"""The routes that change a slot: resize it, close it, open it again.

They stand in the same batches as bookings, so a slot that everybody wants is locked no more often
for them.
"""

from uuid import UUID

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from booking.api import headers
from booking.api.desk import UNDECIDED, Desk
from booking.api.documents import SlotChanged
from booking.commands import CloseSlot, ReopenSlot, ResizeSlot
from booking.edge.answers import Answer
from booking.edge.requests import StrictRequest

UNCHANGED = ("slot-not-found", "precondition-required", "version-mismatch", *UNDECIDED)
"""Why a slot stays as it is."""
OF_SLOT = {
    "scopes": ("inventory:write",),
    "headers": headers.with_version,
    "request_headers": headers.OF_EXISTING,
    "required_headers": (headers.VERSION,),
    "response_headers": headers.ANSWERED_ENTITY,
    "answers": {200: SlotChanged},
    "problems": UNCHANGED,
}


def routes(desk: Desk) -> list[HTTPRouteHandler]:
    """The routes of a slot, served by `desk`."""

    @post(
        "/v1/slots/{slot_id:uuid}/resize",
        opt=OF_SLOT | {"problems": (*UNCHANGED, "capacity-below-use")},
        status_code=200,
    )
    async def resize_slot(
        request: StrictRequest, slot_id: FromPath[UUID], data: JSONBody[ResizeSlot]
    ) -> Answer:
        """Change how many units a slot has, never below what is held and confirmed."""
        return await desk.decide(request, data.command(desk.call(request, data), slot_id))

    @post("/v1/slots/{slot_id:uuid}/close", opt=OF_SLOT, status_code=200)
    async def close_slot(
        request: StrictRequest, slot_id: FromPath[UUID], data: JSONBody[CloseSlot]
    ) -> Answer:
        """Take a slot off sale; bookings it has can still be confirmed, released and cancelled."""
        return await desk.decide(request, data.command(desk.call(request, data), slot_id))

    @post("/v1/slots/{slot_id:uuid}/reopen", opt=OF_SLOT, status_code=200)
    async def reopen_slot(
        request: StrictRequest, slot_id: FromPath[UUID], data: JSONBody[ReopenSlot]
    ) -> Answer:
        """Put a closed slot back on sale."""
        return await desk.decide(request, data.command(desk.call(request, data), slot_id))

    return [resize_slot, close_slot, reopen_slot]
