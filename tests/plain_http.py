"""HTTP to what a test has started: over loopback, without certificates and proxies.

For each client httpx would read all certificates the system trusts: 36 ms, longer than many a test.
"""

from typing import Any

import httpx


def plain_http(url: str = "", **options: Any) -> httpx.AsyncClient:
    """A client of what answers at `url`."""
    return httpx.AsyncClient(base_url=url, trust_env=False, verify=False, **options)  # noqa: S501  nothing is encrypted
