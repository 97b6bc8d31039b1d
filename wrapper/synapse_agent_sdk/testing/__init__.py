"""For those who test code that calls agents: a pytest plugin, and what it is made of.

pytest finds the fixtures by itself; `pytest --fixtures` lists them. Importing this package imports nothing else:

- `synapse_agent_sdk.testing.faults`: what can go wrong, such as `status(503)`
- `synapse_agent_sdk.testing.agent`: `ProxiedAgent`, a local agent that makes faults and records the calls that arrive
- `synapse_agent_sdk.testing.calls`: `AgentCalls`, those calls
- `synapse_agent_sdk.testing.server`: `FaultServer`, which makes faults with no agent behind it
"""
