"""The rules that keep the read model honest, enforced where the data is.

* `newer_version_only` - an older or repeated event changes nothing
* `checkpoint_compare_and_set` - rows and checkpoint move together, and only from where they stood
* `one_epoch_only` - rows of one history never gate the rows of another
* `dead_letters` - what cannot be taken in is kept, and what it concerned is suspect
* `unguarded` - what happens without them, for the laboratory

The product has every guard on. PROJECTOR_GUARD names a variant that goes without one, to show what
it lets through; outside the laboratory it is refused.
"""

from collections.abc import Mapping

from msgspec import Struct

from booking.edge.failures import Misconfigured

THE_PRODUCTS = "every_guard"


class Guard(Struct, frozen=True, kw_only=True):
    """Which guards are on."""

    newer_version_only: bool = True
    """Rows take a newer version only, and events are taken in order and once; without, counters are
    incremented by whatever arrives."""
    checkpoint_compare_and_set: bool = True
    """Whoever did not see the last move of the checkpoint writes nothing; without, a projector that
    slept writes over what was done meanwhile."""
    no_hole: bool = True
    """A number that is missing stops the reading of the log; without, what commits late is skipped."""
    watermark: bool = True
    """`as_of` is a moment up to which everything was heard; without, it is now."""
    shadow: bool = True
    """A rebuild fills other tables and swaps them in; without, it empties and refills those that are
    read."""
    read_model: bool = True
    """Queries read the read model; without, the write side's tables."""


ALL_ON = Guard()

GUARDS: Mapping[str, Guard] = {
    THE_PRODUCTS: ALL_ON,
    "last_arrival_wins": Guard(newer_version_only=False),
    "poll_by_id": Guard(no_hole=False),
    "no_watermark": Guard(watermark=False),
    "no_checkpoint_guard": Guard(checkpoint_compare_and_set=False),
    "rebuild_in_place": Guard(shadow=False),
    "write_tables": Guard(read_model=False),
}


def refuse_unknown(name: str, *, environment: str) -> None:
    """Refuse what is no guard, and every variant outside the laboratory.

    Raises:
        Misconfigured: one of the two.
    """
    if name not in GUARDS:
        raise Misconfigured(
            f"PROJECTOR_GUARD={name} is no guard: use one of {', '.join(GUARDS)}, or unset it."
        )
    if name != THE_PRODUCTS and environment != "laboratory":
        raise Misconfigured(
            f"PROJECTOR_GUARD={name} is for experiments only: unset it, "
            "or set BOOKING_ENVIRONMENT=laboratory."
        )
