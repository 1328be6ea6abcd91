"""Files that hold a secret."""

from pathlib import Path


def write_private(path: Path, text: str) -> Path:
    """Write a file, and the folders above it, that at no time anybody but its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")
    return path
