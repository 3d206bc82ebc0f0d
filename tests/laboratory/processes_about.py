"""Which processes still have to do with a directory: how tests of the laboratory see that nothing was left behind."""

from pathlib import Path


def processes_about(directory: Path) -> list[str]:
    """Command line and working directory of whatever still runs with `directory` in one of them."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            about = (entry / "cmdline").read_bytes() + bytes((entry / "cwd").readlink())
        except OSError:
            continue
        if bytes(directory) in about:
            found.append(about.replace(b"\0", b" ").decode(errors="replace"))
    return found
