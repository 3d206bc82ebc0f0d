"""The read model folded anew from the log, while it is read and written.

* `rebuild` - the story from beginning to end
* `replay` - the log into the shadow, by the projections themselves
* `shadow` - the tables out of sight, who has them, and the swap
* `control` - what the totals of the rows must come to
* `cli` - `projector rebuild`
"""
