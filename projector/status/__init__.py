"""`projector status`: the whole pipeline at one look, from what its parts say about themselves.

Three sources are asked at once and none is trusted to be there: `/v1/consistency` of the queries,
the monitoring endpoints of the NATS server (ours or anybody's), and the metrics listeners of the
processes. What a source does not tell is shown as unknown, with the reason.
"""

from projector.status.pipeline import sources
from projector.status.show import show

__all__ = ["show", "sources"]
