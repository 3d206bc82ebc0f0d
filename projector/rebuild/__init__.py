"""The read model folded anew from the log, while it is read and written.

* `rebuild` - the story from beginning to end
* `replay` - the log into the shadow, by the projections themselves
* `shadow` - the tables out of sight, who has them, and the swap
* `control` - what the totals of the rows must come to
* `in_place` - what goes wrong without a shadow, for the laboratory
* `cli` - `projector rebuild`
"""
