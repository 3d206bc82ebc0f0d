"""Load from several processes, for what one core cannot offer: each runs the same work on its share, with a history file of its own.

The work is a coroutine named `module:function`; it gets a `Share` and does what a scenario would do with it. All begin at the same moment;
what they noted is merged into the trial's record. A generator whose parent is gone ends at once, because the pipe it was told its work by closes.
"""

import asyncio
import contextlib
import importlib
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from loadtest import history
from loadtest.driver import Client
from loadtest.evidence.trial import Generator
from loadtest.experiment.laboratory import Laboratory, Recorder
from loadtest.failures import CannotRunError

# Python takes this long to start and import; everybody begins after it.
BEGIN_IN_S = 1.5
MARGIN_S = 30.0


class Share(Struct, frozen=True, kw_only=True):
    """What one generator is told: `number` of `count` shares, whom to load, when to begin, and the scenario's own `args`."""

    work: str
    number: int
    count: int
    url: str
    key: str | None
    seed: int
    run: str
    arm: str
    begin_ns: int
    history: str
    args: dict[str, Any] = {}

    def rng(self, *names: object) -> Random:
        """Randomness of this share alone, which the same seed gives again."""
        return Random(" ".join(str(name) for name in (self.seed, self.number, *names)))

    def client(self, *, connections_max: int = 256, timeout_s: float = 15.0) -> Client:
        """Connections of this share."""
        headers = [("Authorization", f"Bearer {self.key}")] if self.key is not None else []
        return Client(
            self.url, connections_max=connections_max, timeout_s=timeout_s, headers=headers
        )

    async def begin(self) -> None:
        """Waits for the moment at which all begin."""
        await asyncio.sleep(max(0.0, (self.begin_ns - time.monotonic_ns()) / 1e9))


class _Noted(Struct, frozen=True):
    generators: list[Generator]
    facts: dict[str, Any]


async def generate(
    lab: Laboratory,
    record: Recorder,
    *,
    work: str,
    url: str,
    count: int,
    within_s: float,
    key: str | None = None,
    args: dict[str, Any] | None = None,
) -> None:
    """Runs `work` in `count` processes and merges what they noted into `record`; facts go to `record.facts["shares"]`.

    Raises:
        CannotRunError: one of them failed, or did not end within `within_s` (plus a margin).
    """
    with tempfile.TemporaryDirectory(prefix="loadtest-generators-") as folder:
        begin_ns = time.monotonic_ns() + int(BEGIN_IN_S * 1e9)
        shares = [
            Share(
                work=work,
                number=number,
                count=count,
                url=url,
                key=key,
                seed=lab.seed,
                run=record.name,
                arm=record.arm,
                begin_ns=begin_ns,
                history=str(Path(folder) / f"{number}.jsonl"),
                args=args or {},
            )
            for number in range(count)
        ]
        noted = await asyncio.gather(*(_one(share, within_s) for share in shares))
        for share in shares:
            record.operations += history.read(Path(share.history))
    for each in noted:
        record.generators += each.generators
    record.facts.setdefault("shares", []).extend(each.facts for each in noted)


async def _one(share: Share, within_s: float) -> _Noted:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.workloads.generators"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 -- pipes were asked for
        process.stdin.write(msgspec.json.encode(share) + b"\n")
        async with asyncio.timeout(BEGIN_IN_S + within_s + MARGIN_S):
            said = await process.stdout.read()
            code = await process.wait()
    except TimeoutError:
        raise CannotRunError(f"generator {share.number} did not end in time") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if code != 0:
        raise CannotRunError(
            f"generator {share.number} failed (exit code {code}); its words are above."
        )
    return msgspec.json.decode(said, type=_Noted)


async def _work() -> None:
    """The other side of the pipe: does one share and says what it noted."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    share = msgspec.json.decode(await reader.readline(), type=Share)
    module, _, name = share.work.partition(":")
    function = getattr(importlib.import_module(module), name)
    record = Recorder(share.run, share.arm)
    working = asyncio.ensure_future(function(share, record))
    orphaned = asyncio.ensure_future(reader.read())
    await asyncio.wait({working, orphaned}, return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        working.cancel()
        return
    orphaned.cancel()
    await working
    history.append(Path(share.history), record.operations)
    sys.stdout.buffer.write(msgspec.json.encode(_Noted(record.generators, record.facts)))
    sys.stdout.flush()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_work())
