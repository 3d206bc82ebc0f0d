"""How fast, against what: the product and its yardsticks in one run, on one machine, taking turns.

Absolute figures of a small shared machine mean little, so every claim about speed is a ratio of two things measured seconds apart, several
times in alternation. One measurement is one file, named after what it measures; `menu` lists them. What they share:

* `plan` - how long, and how much of it; `run` - all of it in one run; `arm` - what takes turns
* `product`, `plain`, `pgbench` - what there is to compare; `seed` - a long log, made for real
* `age`, `stream`, `visibility` - what readers see meanwhile; `disk` - what it costs here to make a write last
* `figures` - medians and the judgement, pure; `words`, `page` - what a person reads, on a terminal and in a browser; `store` - both kept on disk
"""
