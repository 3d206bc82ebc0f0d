"""The menu of reports: the same outcome as text for the terminal, as JSON and as one self-contained page."""
