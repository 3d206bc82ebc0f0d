"""How fast, against what: the product and its yardsticks in one run, on one machine, taking turns.

Absolute figures of a small shared machine mean little, so every claim about speed is a ratio of two things measured seconds apart, several
times in alternation. One measurement is one file, named after what it measures; `menu` lists them. What they share: `arm` (what takes turns),
`product`, `plain` and `pgbench` (what there is to compare), `requests` (what is sent), `processes` (whose CPU it was), `figures` (medians and the
judgement, pure), `run` (all of it in one run), `words` (what a person reads).
"""
