"""Settings of the unit tests."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# Examples may be slow on a busy machine.
settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"
