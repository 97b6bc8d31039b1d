"""A pytest plugin for testing code that calls agents, and its parts.

pytest discovers the fixtures automatically; `pytest --fixtures` lists them. This package imports none of its modules:

- `synapse_agent_sdk.testing.faults`: faults, such as `status(503)`
- `synapse_agent_sdk.testing.agent`: `ProxiedAgent`, a local agent that injects faults and records calls
- `synapse_agent_sdk.testing.calls`: `AgentCalls`, the recorded calls
- `synapse_agent_sdk.testing.server`: `FaultServer`, which injects faults without an agent
"""
