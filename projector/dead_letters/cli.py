"""`projector dead-letters`: the commands."""
# ruff: noqa: D301  click's mark for "do not wrap" is a backspace

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import rich_click as click

from booking.edge.invocation import data_dir_option, environ_of, json_option, run_process

if TYPE_CHECKING:
    from projector.dead_letters.letters import DeadLetter
    from projector.session import Session


@click.group(name="dead-letters")
def dead_letters() -> None:
    """Events that could not be taken into the read model.

    What one concerned is suspect, and is told with that word, until the event is retried or dropped.

    \b
    projector dead-letters list
    projector dead-letters retry 4711
    projector dead-letters drop 4711
    """


@dead_letters.command(name="list")
@json_option
@data_dir_option
def list_(*, as_json: bool, data_dir: str | None) -> int:
    """Show them, the oldest first.

    \b
    projector dead-letters list
    projector dead-letters list --json | jq '.[].reason'
    """

    async def work(at: "Session") -> int:
        import msgspec

        from projector.dead_letters.letters import list_letters

        letters = await list_letters(at.read_model)
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(letters)).decode())
        for line in () if as_json else _lines(letters):
            click.echo(line)
        return 0

    return _run(work, data_dir)


@dead_letters.command()
@click.argument("positions", type=click.IntRange(min=1), nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every one there is, the oldest first.")
@data_dir_option
def retry(*, positions: tuple[int, ...], all_: bool, data_dir: str | None) -> int:
    """Take events in after all, with the code of today.

    On success what the event concerned is right again, whatever happened to it since. Exit code 0:
    all were taken in. 1: some cannot be; nothing was changed for those.

    \b
    projector dead-letters retry 4711
    projector dead-letters retry --all
    """

    async def work(at: "Session") -> int:
        from projector.dead_letters.letters import list_letters
        from projector.dead_letters.retry import StillPoison
        from projector.dead_letters.retry import retry as take_in

        chosen = positions
        if all_:
            chosen = tuple(letter.position for letter in await list_letters(at.read_model))
        refused = 0
        for position in chosen:
            try:
                letter = await take_in(at.read_model, at.log, position)
                click.echo(f"{position}: {letter.type} was taken in.")
            except StillPoison as poison:
                refused += 1
                click.echo(f"{position}: it still cannot be taken in: {poison}")
        if not chosen:
            click.echo("There are no dead letters.")
        return 1 if refused else 0

    _refuse_unclear(positions, all_=all_)
    return _run(work, data_dir)


@dead_letters.command()
@click.argument("positions", type=click.IntRange(min=1), nargs=-1, required=True)
@data_dir_option
def drop(*, positions: tuple[int, ...], data_dir: str | None) -> int:
    """Do without events, for good.

    The read model stays as it is without them and doubts nothing any more; rebuilds and
    verifications do without them, too. The log keeps them.

    \b
    projector dead-letters drop 4711
    """

    async def work(at: "Session") -> int:
        from projector.dead_letters.drop import drop as do_without

        for position in positions:
            letter = await do_without(at.read_model, position)
            click.echo(f"{position}: {letter.type} is done without.")
        return 0

    return _run(work, data_dir)


def _refuse_unclear(positions: Sequence[int], *, all_: bool) -> None:
    if all_ == bool(positions):
        raise click.UsageError("Name the positions of the letters, or say --all.")


def _run(work: "Callable[[Session], Coroutine[Any, Any, int]]", data_dir: str | None) -> int:
    async def main(stop: asyncio.Event) -> int:
        from booking.edge.failures import Misconfigured
        from projector.dead_letters.letters import NoSuchLetter
        from projector.session import session, unless_stopped
        from projector.settings import load_settings

        settings = load_settings(environ_of(data_dir))

        async def in_session() -> int:
            async with session(settings, name="projector dead-letters") as at:
                return await work(at)

        try:
            code = await unless_stopped(stop, in_session)
        except NoSuchLetter as unknown:
            raise Misconfigured(f"{unknown} `projector dead-letters list` shows them.") from unknown
        return 130 if code is None else code

    return run_process("dead-letters", main)


def _lines(letters: "Sequence[DeadLetter]") -> Iterator[str]:
    if not letters:
        yield "There are no dead letters."
    for letter in letters:
        about = [f"slot {slot_id}" for slot_id in letter.slot_ids]
        if letter.booking_id is not None:
            about.insert(0, f"booking {letter.booking_id}")
        yield f"{letter.position}  {letter.type}  {letter.recorded_at:%Y-%m-%d %H:%M:%S}Z"
        yield f"    {letter.reason}"
        yield f"    suspect: {', '.join(about) or 'nothing'}"
