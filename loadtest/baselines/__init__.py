"""What the product is compared with: pgbench's frozen scripts (`book*.sql`), and a plain application of the same framework."""
