"""Processes that stand still: SIGSTOP as a fault, SIGCONT as its end.

A paused process keeps its locks, its connections and its belief about the time; nothing outside can tell it from a slow one. That is the fault
behind zombies. Killing and starting again is `loadtest.system.part.Part`'s, because who starts a process owns it.
"""

import contextlib
import os
import signal


class PausedProcesses:
    """Those paused now; `heal` lets all of them go on."""

    def __init__(self) -> None:
        self._paused: set[int] = set()

    def pause(self, pid: int) -> None:
        """Stops a process where it stands.

        Raises:
            ProcessLookupError: there is none.
        """
        os.kill(pid, signal.SIGSTOP)
        self._paused.add(pid)

    def resume(self, pid: int) -> None:
        """Lets it go on; nothing happens when it has ended meanwhile."""
        self._paused.discard(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def heal(self) -> None:
        """Lets every paused process go on."""
        for pid in list(self._paused):
            self.resume(pid)
