"""The console: pages for people, in the web process. It is a client of the API like any other, without a socket.

A page is a module in `pages` and a template in `templates`, with a row in `navigation`; what it shows and does are
calls of `api`, as its visitor. deploy/adr/0024-console.md says why it is made so.
"""
