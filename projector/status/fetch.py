"""A look at a URL with a deadline; what goes wrong is one sentence, for a cell of the table."""

import urllib.error
import urllib.request
from urllib.parse import urlsplit

TIMEOUT_S = 3.0
SIZE_MAX = 8 * 1024 * 1024


class NotTold(Exception):
    """A source did not answer; the sentence says why, and the remedy where there is one."""


def fetch(url: str, *, key: str | None = None) -> bytes:
    """What a URL answers.

    Raises:
        NotTold: nothing within `TIMEOUT_S`, a refusal, or no HTTP URL.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise NotTold(f"{url} is no URL of HTTP.")
    request = urllib.request.Request(url)  # noqa: S310 the scheme was looked at
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 the scheme was looked at
            told: bytes = answer.read(SIZE_MAX)
            return told
    except urllib.error.HTTPError as error:
        with error:
            remedy = ": give a key with the scope read by --key" if error.code in (401, 403) else ""
            raise NotTold(f"{url} refuses to tell ({error.code}){remedy}.") from error
    except (OSError, ValueError) as error:
        raise NotTold(f"{url} does not answer ({error}): is it running there?") from error
