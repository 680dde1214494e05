"""``headstart ui``: all of headstart on a page in the browser, for people who do not use a terminal.

A small server on this machine. Its pages are made here and need almost no script; what takes time runs in processes of
its own. It fetches nothing, and reads nothing outside one folder.
"""
