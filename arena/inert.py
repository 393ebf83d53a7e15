"""Text that is not ours, made harmless before it is shown: nothing in it moves a cursor, turns a line round or hides."""

from __future__ import annotations

import unicodedata


def inert(text: str) -> str:
    """The text with control and formatting characters made visible; line breaks, tabs and what joins letters aside."""
    return "".join(
        c if c in "\n\t\u200c\u200d" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else "\ufffd" for c in text
    )
