"""What stops an experiment before it can say anything: one sentence for the person, with the remedy."""


class CannotRunError(Exception):
    """The experiment could not be set up; the message says what to change. Leads to exit code 2."""
