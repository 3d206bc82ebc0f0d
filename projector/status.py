"""`projector status`: the answer of `/v1/consistency`, a line for each of those who are at work."""

import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from booking.edge.failures import Misconfigured
from booking.edge.settings import read_run_file
from projector.settings import DATA_DIR

TIMEOUT_S = 5.0


def local_url(environ: Mapping[str, str]) -> str:
    """The URL of the `booking up` that runs on this machine.

    Raises:
        Misconfigured: none does.
    """
    data_dir = Path(environ.get("BOOKING_DATA_DIR", DATA_DIR))
    running = read_run_file(data_dir)
    if running is None:
        raise Misconfigured(f"No `booking up` runs on {data_dir}: start it, or give --url.")
    return running.url


def fetch(url: str, *, key: str | None) -> str:
    """The answer of `/v1/consistency`, as JSON text.

    Raises:
        Misconfigured: it does not answer, or refuses.
    """
    request = urllib.request.Request(f"{url.rstrip('/')}/v1/consistency")  # noqa: S310 the user's
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            text: str = answer.read().decode()
            return text
    except urllib.error.HTTPError as error:
        with error:
            raise Misconfigured(
                f"{url} refuses to tell ({error.code}): give a key with the scope read by --key."
            ) from error
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{url} does not answer ({error}): is it running there?") from error


def lines(answer: str) -> Iterator[str]:
    """What the answer says, for people."""
    seen = msgspec.json.decode(answer)
    log = seen["log"]
    yield f"log        {log['position']} at {log['at']}" if log else "log        unreachable"
    yield f"stream     {_said(seen['stream']['last_seq'])}"
    for projector in seen["projectors"]:
        yield (
            f"projector  {projector['position']}  {projector['state']}  "
            f"age {_said(projector['age_ms'])} ms  {projector['name']}"
        )
        if projector.get("reason"):
            yield f"           {projector['reason']}"
    for node in seen["nodes"]:
        yield f"queries    {node['applied']}  age {_said(node['age_ms'])} ms  {node['node']}"


def _said(value: object) -> object:
    return "unknown" if value is None else value
