"""How the properties of the unit tests are searched."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A busy machine makes an example slow, which is no finding.
settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")
