"""Where the read model stands: what a message of the feed says, and what a reading of the tables is of."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class Standing(Struct, frozen=True, kw_only=True, gc=False):
    """Where the read model stands, as last heard or read."""

    epoch: UUID
    generation: int
    """Another one: the rows were replaced as a whole (rebuild, repair, epoch)."""
    position: int
    as_of: datetime
