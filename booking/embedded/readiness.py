"""Asking a process over HTTP whether it is ready, and what is missing if not."""

import asyncio
from urllib.parse import urlsplit

ANSWER_DEADLINE_S = 2.0
ANSWER_SIZE_MAX = 64 * 1024


async def status_and_body(url: str) -> tuple[int, bytes]:
    """GET `url` once on a connection of its own; status 0 when nobody answers in time."""
    place = urlsplit(url)
    head = f"GET {place.path or '/'} HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(ANSWER_DEADLINE_S):
            reader, writer = await asyncio.open_connection(
                place.hostname, place.port, limit=ANSWER_SIZE_MAX
            )
            try:
                writer.write(head.encode())
                answer = await reader.read(-1)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return 0, b""
    line, _, rest = answer.partition(b"\r\n")
    words = line.split()
    if len(words) < 2 or not words[1].isdigit():
        return 0, b""
    return int(words[1]), rest.partition(b"\r\n\r\n")[2]


async def is_ready(url: str) -> bool:
    """Return whether the process behind `url` answers its `/health/ready` with 200."""
    status, _ = await status_and_body(f"{url}/health/ready")
    return status == 200
