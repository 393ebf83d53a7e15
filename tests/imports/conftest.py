"""What all tests of imports share."""

from __future__ import annotations

import pytest
from commands import Arena


@pytest.fixture
def run_arena(arena: Arena) -> Arena:
    """The command line, under a name that leaves the module's free."""
    return arena
