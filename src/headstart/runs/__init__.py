"""Stage 6 of 7, runs: one folder per training, written once, read by every command; next: reports, exports, servers."""
