"""Findings told to a reader: the same outcome as text, as JSON, as a page, and beside that of another day. No verdict is made here.

* `text` - for the terminal, while it goes on and afterwards
* `store` - a run's folder: `result.json`, `report.html`, `summary.txt`
* `html`, `markdown` - a page that works offline, a page for a repository; `drawing` - the plots of both
* `comparison` - two runs, cell by cell
"""
