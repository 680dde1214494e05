"""HTML pages: a run, an audit, a comparison of bases, an explanation."""
