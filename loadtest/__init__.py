"""The sceptic: knows the system by HTTP only, attacks it with guards off and on, and judges what the event log says."""
