"""Serving HTTP, the menu: what a process needs to meet the outside.

`http_app` composes the application, `bind` takes a socket (and says which setting to change when it
cannot), `serve` runs it until told to stop, `serve_metrics` is the second listener of every process, and
`run` is the process around it all.
"""

from booking.edge.application import EdgeApplication, http_app
from booking.edge.metrics_listener import serve_metrics
from booking.edge.process import run
from booking.edge.servers import bind, serve, url_of

__all__ = ["EdgeApplication", "bind", "http_app", "run", "serve", "serve_metrics", "url_of"]
