"""The clients of an agent: `AgentClient`, and with the same names awaited `AsyncAgentClient`."""

from __future__ import annotations

from synapse_sdk.clients.agent.composed import AsyncComposedClientMixin, ComposedClientMixin
from synapse_sdk.clients.agent.lookup import ReleaseLookup
from synapse_sdk.clients.agent.raw import RawResponse
from synapse_sdk.clients.agent.retries import RetryPolicy

__all__ = ["AgentClient", "AsyncAgentClient", "RawResponse", "ReleaseLookup", "RetryPolicy"]


class AgentClient(ComposedClientMixin):
    """A client of an agent: caches releases of plugins on it, and runs their actions.

    Close it, or use it as a context manager. It may be shared by threads. With `SYNAPSE_LOG=info` in the environment
    it says on stderr what it sends again and why, and with `debug` what it sends; or set up the logger `synapse_sdk`.

    Args:
        base_url: The agent's URL, which may carry a path prefix. `SYNAPSE_AGENT_URL` where left out.
        agent_token: The agent token, sent raw. `SYNAPSE_AGENT_TOKEN` where left out; with neither, no
            `Authorization` header is sent.
        access_token: Another name of `agent_token`.
        user_token: The token of the user on whose behalf calls are made. `SYNAPSE_USER_TOKEN` where left out.
        tenant: The tenant that calls are made for. `SYNAPSE_TENANT` where left out.
        timeout: Seconds for connecting, reading and writing each; `{"connect": 3, "read": 10}`; `(connect, read)`; or
            an `httpx.Timeout`. 3 s to connect and 10 s to read where left out, but runs wait for their result as
            long as it takes, unless a timeout is given here or at the call; given at the call, it bounds all of it.
        headers: Further headers of every request.
        retry: What is sent again, and when; None for nothing, but for an idle connection that is found closed.
        limits: How many connections are held; 100 where left out.
        max_response_bytes: How large an answer may be, decompressed; 256 MiB where left out.
        verify: Whom to trust by TLS: the usual certificate authorities, or those in a file, or what an
            `ssl.SSLContext` says. False trusts anybody.
        trust_env: Whether `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR`
            have a say.
        http_client: An `httpx.Client` (`httpx.AsyncClient`) of yours to send through, which you close. Total times,
            idle connections and limits are then its matter, and its own retries would repeat runs.
        transport: A transport of yours to send through. What was said of `http_client` holds for it too.

    Raises:
        ValueError: If a setting is missing or wrong. Tokens are never shown.

    Example:
        >>> with AgentClient(base_url=url, access_token=token) as client:
        ...     release = client.create_plugin_release(plugin="text_stats", version="1.0.0")
        ...     result = client.run_plugin_release(release, "analyze", {"path": os.path.abspath("README.md")})
        >>> sorted(result)[:3]
        ['characters', 'lines', 'most_common']
    """


class AsyncAgentClient(AsyncComposedClientMixin):
    """The same as `AgentClient`, awaited: same arguments, same methods, same errors.

    Close it with `await client.aclose()`, or use it as an async context manager.

    Example:
        >>> async with AsyncAgentClient(base_url=url, access_token=token) as client:
        ...     release = await client.create_plugin_release(plugin="text_stats", version="1.0.0")
        ...     result = await client.run_plugin_release(release, "analyze", {"path": os.path.abspath("README.md")})
        >>> sorted(result)[:3]
        ['characters', 'lines', 'most_common']
    """
