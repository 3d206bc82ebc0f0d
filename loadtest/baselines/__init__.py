"""What the product is compared with: pgbench's frozen scripts, and a plain application of the same framework."""
