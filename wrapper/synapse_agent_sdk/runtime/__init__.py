"""HTTP: exchanges, retries, deadlines, pagination and connections, independent of plugins and generated code.

Other packages import only the names below. `runtime.transport` is imported when a client is created, since it imports
httpcore, which would slow down the import of the SDK.
"""

from __future__ import annotations

from synapse_agent_sdk.runtime.exchange import Exchange
from synapse_agent_sdk.runtime.http_client import AsyncHttpClient, BaseHttpClient, HttpClient
from synapse_agent_sdk.runtime.options import Options, Timeout, Verify
from synapse_agent_sdk.runtime.pagination import AsyncItems, Items, PageCursor, collect
from synapse_agent_sdk.runtime.request import Request
from synapse_agent_sdk.runtime.retry import RetryPolicy

__all__ = [
    "AsyncHttpClient",
    "AsyncItems",
    "BaseHttpClient",
    "Exchange",
    "HttpClient",
    "Items",
    "Options",
    "PageCursor",
    "Request",
    "RetryPolicy",
    "Timeout",
    "Verify",
    "collect",
]
