"""Logs: one JSON object per line on standard error.

Never bodies, headers or secrets; a state change is logged once, with its ids. What libraries say through
the standard library's logging comes out in the same form.
"""

import logging
import sys
from typing import Any

import msgspec
import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    structlog.processors.format_exc_info,
]


def _as_json(value: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def configure(process: str, *, level: int = logging.INFO) -> None:
    """Sets up logging for a process; `process` is its name in every line."""

    def name_the_process(_: Any, __: str, line: dict[str, Any]) -> dict[str, Any]:
        return {"process": process, **line}

    processors = [*_SHARED, name_the_process]
    structlog.configure(
        processors=[*processors, structlog.processors.JSONRenderer(serializer=_as_json)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_as_json),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # These narrate every request or every start; what matters of it is said by our own lines.
    for chatty in ("httpx", "httpcore", "uvicorn", "nats"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
