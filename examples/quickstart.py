from pathlib import Path

from synapse_sdk.clients.agent import AgentClient

# Starts a local agent, which runs the plugins of a folder. With an agent of your own:
# AgentClient(base_url="https://agent.example.com", access_token="your-token")
with AgentClient.local(registry="examples/plugins") as client:
    release = client.create_plugin_release(plugin="text_stats", version="1.0.0")
    result = client.run_plugin_release(release, "analyze", {"path": str(Path("README.md").resolve())})
    print(f"{release['plugin']} counted {result['words']} words in {result['lines']} lines.")
