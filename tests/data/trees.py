"""Folders of files whose content no test looks at."""

from pathlib import Path


def make_tree(root: Path, *files: str) -> Path:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"never opened here")
    return root
