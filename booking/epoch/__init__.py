"""The identity of the log's history, for operators: `cli` is `booking epoch new`."""
