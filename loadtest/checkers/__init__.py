"""The menu of checkers: pure functions from a history to a judgement with witnesses."""
