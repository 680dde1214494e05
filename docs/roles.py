"""Docstrings name things in the roles of Sphinx; here these become code, and links where the page has the thing."""

import re
from typing import Any

_ROLE = re.compile(r":(?:func|class|mod|meth|attr|data):<code>(~?)([\w.]+)</code>")


def on_page_content(html: str, **_: Any) -> str:
    """Called by mkdocs with each page."""

    def linked(role: re.Match[str]) -> str:
        short, name = role.groups()
        code = f"<code>{name.rpartition('.')[2] if short else name}</code>"
        place = f"headstart.{name.rpartition('.')[2]}"
        return f'<a href="#{place}">{code}</a>' if f'id="{place}"' in html else code

    return _ROLE.sub(linked, html)
