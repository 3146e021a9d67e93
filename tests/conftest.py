"""What every test has in common: how Hypothesis explores, and that a failure can be repeated.

Holds no fixtures of the product: those stand beside the tests that use them.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A machine that judges a change must judge it by the same cases twice; exploring is for the people who develop.
# Both print the blob that repeats a failure (`@reproduce_failure`), and neither mistakes a slow machine for a defect.
settings.register_profile("judge", deadline=None, print_blob=True, derandomize=True, database=None)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.register_profile(
    "long",
    deadline=None,
    print_blob=True,
    max_examples=5_000,
    suppress_health_check=[HealthCheck.too_slow],
)

_default = "judge" if os.environ.get("CI") else "explore"
settings.load_profile(os.environ.get("CAISEY_HYPOTHESIS_PROFILE", _default))
