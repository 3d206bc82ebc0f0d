"""`projector rebuild`: the command."""
# ruff: noqa: D301  click's mark for "do not wrap" is a backspace

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import rich_click as click

from booking.edge.invocation import data_dir_option, environ_of, json_option, run_process

if TYPE_CHECKING:
    from projector.rebuild.rebuild import Rebuilt

STOPPED = "Stopped: what is read has not changed, and nothing is left of the rebuild."


@click.command()
@json_option
@data_dir_option
def rebuild(*, as_json: bool, data_dir: str | None) -> int:
    """Fold the read model anew from the log, while it is read and written.

    Readers keep what they have until the new tables take their place at once; positions never go
    back. Ctrl-C leaves nothing behind. Exit code 0: done. 2: it could not be done, and one sentence
    says why; nothing was changed.

    \b
    projector rebuild
    projector rebuild --json | jq .events_per_s
    """

    async def main(stop: asyncio.Event) -> int:
        import msgspec

        from booking.edge.failures import Misconfigured
        from booking.edge.progress import progress
        from projector.guards import GUARDS
        from projector.guards.dead_letters import TooManyDeadLetters
        from projector.rebuild.control import DoesNotAddUp
        from projector.rebuild.in_place import rebuild_in_place
        from projector.rebuild.rebuild import NeverCaughtUp, Rebuilt
        from projector.rebuild.rebuild import rebuild as run_rebuild
        from projector.rebuild.replay import LogChanged
        from projector.rebuild.shadow import Overtaken, ReadersInTheWay, ShadowInUse
        from projector.session import session, unless_stopped
        from projector.settings import load_settings

        settings = load_settings(environ_of(data_dir))

        async def work() -> Rebuilt:
            async with session(settings, name="projector rebuild") as at:
                fold_anew = run_rebuild if GUARDS[settings.guard].shadow else rebuild_in_place
                with progress() as tell:
                    return await fold_anew(at.read_model, at.log, progress=tell)

        try:
            done = await unless_stopped(stop, work)
        except ShadowInUse as busy:
            raise Misconfigured(f"{busy} Wait until it has ended.") from busy
        except (LogChanged, Overtaken) as changed:
            raise Misconfigured(
                f"{changed} Nothing was changed: a projector that runs rebuilds by itself now; "
                "else run the command again."
            ) from changed
        except (DoesNotAddUp, ReadersInTheWay, NeverCaughtUp, TooManyDeadLetters) as why:
            raise Misconfigured(f"Nothing was changed: {why}") from why
        if done is None:
            click.echo(STOPPED, err=True)
            return 130
        click.echo(msgspec.json.encode(done).decode() if as_json else "\n".join(_sentences(done)))
        return 0

    return run_process("rebuild", main)


def _sentences(done: "Rebuilt") -> Iterator[str]:
    yield (
        f"The read model was folded anew up to position {done.position:,} and is read since, "
        f"as generation {done.generation}."
    )
    yield f"  {done.seconds:.1f} s, {done.events_per_s:,} events/s"
    if done.left_out:
        yield (
            f"  {done.left_out:,} events were left out: dead letters "
            "(`projector dead-letters list`), or dropped for good."
        )
