"""The auditor: proves at any time that counters, live bookings and the event log say the same.

It needs no long look at the database, because every change commits together with its positions, and
a transaction takes its positions last, under a lock held until its commit. So one statement that
reads some rows and the end of the log sees exactly the state after that position: all of it, and
nothing later. The auditor therefore

1. folds the log range by range, checking each event against what came before it,
2. reads rows in pages, each page in one statement that also reads where the log ends,
3. folds on from where it was to exactly that end, and only then compares the page,
4. goes through lines and kept answers block by block for those that nothing leads to.

Each comparison is exact at its own position, no snapshot outlives one page, and bookings go on
meanwhile. Rows that appear behind the pages were made after the audit began; the next one sees them.

Nothing is written. `read` has the statements, `logged_event` one row of the log, `fold` its memory, `rows` the
comparison, `findings` what was found, `report` its sentences.
"""
