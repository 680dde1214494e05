"""The rules of `headstart check`: their texts (``catalog.py``, ``rules.toml``) and the code that applies them."""
