"""The menu of faults: what can be done to processes. None yet but starting and stopping (`loadtest.system_under_test`)."""
