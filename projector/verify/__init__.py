"""Is the read model what the log says? Found out, and mended, while it is read and written.

* `verify` - the story from beginning to end
* `compare` - one table against its shadow, page by page
* `witness` - what a drift looks like
* `last_word` - what the last one found, for metrics
* `cli` - `projector verify`
"""
