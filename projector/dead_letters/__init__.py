"""What an operator does about events that could not be taken in.

* `letters` - what there is, and what speaks of whom
* `retry` - take one in after all, so that what it concerned is right again
* `drop` - do without it, for good
* `cli` - `projector dead-letters`
"""
