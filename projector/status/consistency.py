"""What `/v1/consistency` answers: log, stream, projectors and query nodes, each row with its age."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class LogSeen(Struct, frozen=True, kw_only=True):
    """Where the log ends, by the database's clock."""

    position: int
    at: datetime


class StreamSeen(Struct, frozen=True, kw_only=True):
    """The stream's last sequence, as the projectors see it."""

    last_seq: int | None


class ProjectorSeen(Struct, frozen=True, kw_only=True):
    """One projector as it last described itself."""

    name: str
    state: str
    position: int
    as_of: datetime | None
    age_ms: int | None
    dead_letters: int
    reason: str | None = None


class NodeSeen(Struct, frozen=True, kw_only=True):
    """One query node as it last described itself."""

    node: str
    applied: int
    as_of: datetime | None
    age_ms: int | None


class Consistency(Struct, frozen=True, kw_only=True):
    """The answer; members that a later version adds are ignored."""

    epoch: UUID | None
    log: LogSeen | None
    stream: StreamSeen
    projectors: list[ProjectorSeen]
    nodes: list[NodeSeen]
