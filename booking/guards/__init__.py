"""The guards of the write side: who decides whether units are taken.

The product has one. The others exist for the laboratory, which shows what each lets through; they
are chosen by BOOKING_GUARD and refused outside it.
"""

from collections.abc import Mapping

from booking.batcher import Take
from booking.edge.failures import Misconfigured
from booking.guards import conditional_write, unguarded

THE_PRODUCTS = "conditional_write"
UNGUARDED = "unguarded"

GUARDS: Mapping[str, Take] = {
    THE_PRODUCTS: conditional_write.take,
    UNGUARDED: unguarded.take,
}


def chosen(name: str | None, *, environment: str) -> str:
    """The guard's name for a setting; None is the product's.

    Raises:
        Misconfigured: unknown, or another than the product's outside the laboratory.
    """
    if name is None:
        return THE_PRODUCTS
    if name not in GUARDS:
        raise Misconfigured(
            f"BOOKING_GUARD={name} is no guard: use one of {', '.join(GUARDS)}, or unset it."
        )
    if name != THE_PRODUCTS and environment != "laboratory":
        raise Misconfigured(
            f"BOOKING_GUARD={name} is for experiments only: unset it, "
            "or set BOOKING_ENVIRONMENT=laboratory."
        )
    return name
