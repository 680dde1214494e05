"""``headstart serve``: runs behind HTTP, for many clients at once, by FastAPI and uvicorn (extra ``serve``)."""
