"""What keeps the replica true, as a list: each rule answers one race.

The product has all of them. A test leaves one out to show the race that it is for.
"""

from msgspec import Struct


class Rules(Struct, frozen=True, kw_only=True):
    """What keeps the replica true; each can be left out, to see what it is for."""

    register_first: bool = True
    """Changes that arrive while the tables are read are kept beside the fill."""
    merge_changes: bool = True
    """What was kept beside a fill is merged into it."""
    newer_only: bool = True
    """An older version never replaces a newer one."""
    discard_after_drop: bool = True
    """A fill that began before everything was dropped is not kept."""
    read_again: bool = True
    """A fill from before the position at which it began to listen is read again."""
    ignore_the_past: bool = True
    """Messages at or below this node's position change nothing."""
    drop_at_a_hole: bool = True
    """A message that does not continue from this node's position drops everything."""
    drop_with_the_generation: bool = True
    """So does a new generation: the rows were replaced as a whole."""
    drop_in_silence: bool = True
    """So does a feed that says nothing: what it would have said cannot be known."""
