"""``headstart ui``: the web UI, for people who do not use a terminal.

A small server on this machine renders the pages; they need almost no script. Long work runs in separate processes. The
server loads nothing from the network, and reads no file outside one folder.
"""
