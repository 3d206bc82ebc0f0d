"""What an experiment is, whichever claim it is about.

* `scenario` - a claim, its arms, a way to measure and a pure way to judge
* `laboratory` - where it works: systems, people with a seed, trials that are written down
* `asked` - what a run was asked to do, and where
* `findings` - what was found: cells with measures, judgements and what theory expects
* `figures`, `charts` - what its plots show, as data

The claims themselves are in `loadtest.scenarios`; carrying them out is `loadtest.run`'s.
"""
