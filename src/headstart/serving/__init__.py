"""``headstart serve``: runs behind HTTP, for many clients at once, by FastAPI and uvicorn (extra ``serve``)."""

MODULES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "fastapi_offline")
"""What the extra brings."""
