"""The read side: projects the event log into read models and answers queries with their age."""
