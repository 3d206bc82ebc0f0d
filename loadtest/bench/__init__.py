"""How fast, against what: the product and its yardstick in one run, on one machine, taking turns.

Absolute figures of a small shared machine mean little, so every claim about speed is a ratio of two things measured seconds apart, several
times in alternation. Menu: `hot_slot` (the experiment), `pgbench` (the yardstick), `sale` (the product through HTTP), `disk` (what a flush
costs here), `figures` (medians and the judgement, pure), `words` (what a person reads).
"""
