"""The menu of scenarios."""
