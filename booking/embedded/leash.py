"""A few lines run between fork and exec: die with the parent, and be somebody Postgres accepts.

Started by its path, with the standard library only and without site packages, because it is paid
for at every start of a server (about 15 ms). Usage: leash.py PARENT SIGNAL IDENTITY PROGRAM ARGS…
IDENTITY is `keep`, `mapped:UID` (root shown as UID inside a user namespace) or `user:UID`.
"""

import ctypes
import os
import sys

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def be_shown_as(uid: int) -> None:
    """Enter a user namespace in which root is shown as `uid`; files stay root's.

    Raises:
        OSError: this machine allows no user namespaces.
    """
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "user namespaces are not available")
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {outer_uid} 1"),
        ("gid_map", f"{uid} {outer_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 pathlib costs 10 ms here
            file.write(line)


def become(uid: int) -> None:
    """Give up root for good and be `uid`."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def main(parent: str, signal_number: str, identity: str, *program: str) -> None:
    """Take the identity, then the leash, then become the program."""
    kind, _, uid = identity.partition(":")
    if kind == "mapped":
        be_shown_as(int(uid))
    elif kind == "user":
        become(int(uid))
    # After the identity: the kernel forgets the signal when credentials change.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before the leash was on
            sys.exit(0)
    os.execv(program[0], program)  # noqa: S606 no shell is the point


if __name__ == "__main__":
    main(*sys.argv[1:])
