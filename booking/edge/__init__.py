"""Where any process meets the outside, knowing nothing of bookings.

Settings, logs, connections, serving with signals and drain, strict requests, problems, API keys, rate
limits, metrics, documentation. Both sides import it; it imports neither.
"""
