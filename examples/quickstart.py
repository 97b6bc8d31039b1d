from pathlib import Path

from synapse_agent_sdk import AgentClient

# Actions run in a separate folder: use absolute paths.
readme = str(Path("README.md").resolve())

# This starts a local agent that serves these plugins.
# For any other agent, pass its URL and token:
#   AgentClient("https://agent.example.com", "its-token")
with AgentClient.local("examples/plugins") as client:
    client.create_plugin_release("text_stats", "1.0.0")
    result = client.run_plugin_release(
        "text_stats@1.0.0",
        action="analyze",
        params={"path": readme},
    )
    print("The README has", result["words"], "words.")
