"""What a person can mend: the commands print its sentence, without a traceback, and exit with 2."""

from __future__ import annotations


class Mistake(ValueError):
    """Something typed, configured or handed over that cannot be used: the text says what is wrong, where, and what to do."""
