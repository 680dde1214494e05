"""``headstart serve``: finished runs behind HTTP, for many clients at once. FastAPI and uvicorn; the extra ``serve``."""
