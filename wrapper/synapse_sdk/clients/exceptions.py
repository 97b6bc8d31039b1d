"""The errors under the name by which programs for the published package import them; `synapse_sdk.exceptions` has them.

Example:
    >>> from synapse_sdk.clients.exceptions import ClientError
    >>> ClientError.__module__
    'synapse_sdk.exceptions'
"""

from __future__ import annotations

from synapse_sdk.exceptions import *  # noqa: F403 - all of them, and nothing else
