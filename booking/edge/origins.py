"""Origins: where a browser's page may come from that calls us from elsewhere (BOOKING_ALLOWED_ORIGINS).

Judged with the settings, before anything is started, and apart from what uses them: a process that
starts servers first need not import a web framework to find a mistake.
"""

import re
from collections.abc import Iterable

from booking.edge.failures import Misconfigured

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+/?")


def refuse_no_origin(allowed_origins: Iterable[str]) -> None:
    """Refuse what no browser would ever name: a host without a scheme, a path.

    Raises:
        Misconfigured: one of them is no origin.
    """
    for origin in allowed_origins:
        if not _ORIGIN.fullmatch(origin):
            raise Misconfigured(
                f"BOOKING_ALLOWED_ORIGINS names {origin!r}, which is no origin: "
                "use scheme and host, such as https://shop.example, or *."
            )
