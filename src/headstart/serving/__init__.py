"""``headstart serve``: runs behind an HTTP API, with FastAPI and uvicorn (extra ``serve``)."""

MODULES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "fastapi_offline")
"""Modules that the extra installs."""
