"""What happened, according to the history and the log, before anybody judges it. Pure: the same files say the same again on any day.

* `trial` - one arm at one setting, with all its operations and events; what is kept on disk
* `ground_truth` - the state of a slot at each version, and between which moments it was committed
* `decisions` - how old a view was when somebody decided by it
* `pages_read` - whether what was read page by page ever went back
* `sent_away` - who was told "sold out" although a unit was free

Whether any of it is allowed is the checkers' question.
"""
