"""Pages that somebody read one after the other from the tables of the read model, and whether the view ever went back. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from loadtest.verdict import Judgement, Witness, judged

RULE = "never_back"


class Page(Struct, frozen=True, kw_only=True):
    """What the tables said to a reader: the view's position, and the units left."""

    reader: int
    position: int
    remaining: int


def never_back(pages: Sequence[Page], *, hole: str | None = None) -> Judgement:
    """Of a sale in which nobody gives anything back: neither may the position fall, nor the units left rise. Opportunities are pages after the first."""
    witnesses: list[Witness] = []
    before: dict[int, Page] = {}
    for page in pages:
        seen = before.get(page.reader)
        if seen is not None and (page.position < seen.position or page.remaining > seen.remaining):
            witnesses.append(
                Witness(
                    story="reader {reader} saw {remaining} units left at position {position}, and then {after} at position {later}",
                    facts={
                        "reader": page.reader,
                        "remaining": seen.remaining,
                        "position": seen.position,
                        "after": page.remaining,
                        "later": page.position,
                    },
                    size=abs(seen.position - page.position),
                )
            )
        before[page.reader] = page
    return judged(
        RULE, opportunities=max(0, len(pages) - len(before)), witnesses=witnesses, hole=hole
    )
