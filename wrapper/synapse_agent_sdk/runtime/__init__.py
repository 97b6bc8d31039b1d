"""HTTP: exchanges, retries, deadlines, pages and connections. It knows no plugin and no generated code.

The rooms above import what stands here. `runtime.transport` is imported when a client is made: it brings httpcore, for
which an import of the SDK must not pay.
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
