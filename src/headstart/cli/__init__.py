"""The command line: parse, call, print; no work of its own."""
