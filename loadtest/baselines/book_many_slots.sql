-- What book_many.sql needs beside the tables of book_schema.sql: the other 9,999 slots.
INSERT INTO slot SELECT number, 2000000000, 0 FROM generate_series(2, 10000) AS number;
