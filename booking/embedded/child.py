"""A process on a leash: it ends when we stop it, and when we are killed it ends, too.

Every process this system starts goes through here, so there is one place that knows about parent
death signals, sessions (a ctrl-C at the terminal is ours to pass on, not the terminal's) and
deadlines of stopping. Processes are started from the main thread only: the kernel's parent death
signal means the death of the *thread* that forked.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

LEASH = str(Path(__file__).with_name("leash.py"))
KEEP_IDENTITY = "keep"


class Child:
    """One running process; `wait` for it or `stop` it."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    @classmethod
    async def start(
        cls,
        name: str,
        program: Sequence[str],
        *,
        on_parent_death: signal.Signals = signal.SIGKILL,
        identity: str = KEEP_IDENTITY,
        log: Path | None = None,
        environ: Mapping[str, str] | None = None,
        inherited: Sequence[int] = (),
    ) -> Self:
        """Start `program`; its output goes to the file `log`, or to our standard error."""
        leashed = [
            *(sys.executable, "-I", "-S", LEASH),
            *(str(os.getpid()), str(int(on_parent_death)), identity),
            *program,
        ]
        output = sys.stderr.fileno() if log is None else os.open(log, LOG_FLAGS, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                *leashed,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if environ is None else dict(environ),
                pass_fds=tuple(inherited),
                start_new_session=True,
            )
        finally:
            if log is not None:
                os.close(output)
        return cls(name, process)

    @property
    def pid(self) -> int:
        """The program's own pid: the leash became it."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        return self._process.returncode

    async def wait(self) -> int:
        """Return the exit code when the process has ended."""
        return await self._process.wait()

    async def stop(self, first: signal.Signals = signal.SIGTERM, *, deadline_s: float = 5) -> int:
        """Ask with the signal `first`; after `deadline_s` do not ask any more."""
        for number, patience_s in ((first, deadline_s), (signal.SIGKILL, 5.0)):
            if self.exit_code is not None:
                break
            try:
                self._process.send_signal(number)
                async with asyncio.timeout(patience_s):
                    return await self.wait()
            except (ProcessLookupError, TimeoutError):
                continue
        return await self.wait()


LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
