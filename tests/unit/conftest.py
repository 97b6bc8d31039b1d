"""How the unit tests are run."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# A busy machine makes an example slow, which is no finding.
settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"
