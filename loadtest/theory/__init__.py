"""The menu of theory lines: pure functions that say what should be measured."""
