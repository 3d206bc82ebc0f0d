"""The ten ways to guard the last place that are compared, by the names of BOOKING_GUARD, the product's first.

Whoever compares them knows from here which need more than the API, and which let through what they should stop.
"""

PRODUCTS = "conditional_write"
GUARDS = (
    PRODUCTS,
    "conditional_write_singly",
    "expected_version",
    "row_lock_then_count",
    "advisory_lock_then_count",
    "lock_then_count_repeatable_read",
    "serializable",
    "row_per_unit",
    "trust_the_view",
    "unguarded",
)
OVERSELLING = {"trust_the_view", "unguarded", "lock_then_count_repeatable_read"}
"""They write without a condition, or with one on an old picture."""
VIEWING = "trust_the_view"
"""It needs a view, so it pays for relay and projector, too."""
