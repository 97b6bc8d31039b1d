from pathlib import Path

from synapse_agent_sdk import AgentClient

# Actions run in folders of their own: give absolute paths.
readme = str(Path("README.md").resolve())

# This starts a local agent, which runs a folder's plugins.
# For any other agent, give its URL and token:
#   AgentClient("https://agent.example.com", "its-token")
with AgentClient.local("examples/plugins") as client:
    client.create_plugin_release("text_stats", "1.0.0")
    result = client.run_plugin_release(
        "text_stats@1.0.0",
        action="analyze",
        params={"path": readme},
    )
    print("The README has", result["words"], "words.")
