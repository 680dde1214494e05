"""Model files: opened in a Keras process without executing code from them, and converted to networks."""
