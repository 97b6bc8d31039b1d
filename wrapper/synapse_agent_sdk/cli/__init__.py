"""The `synapse-agent` command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or print which packages are missing."""
    try:
        from synapse_agent_sdk.cli import app
    except ImportError as error:
        sys.stderr.write(f"synapse-agent needs further packages: pip install 'synapse-agent-sdk[cli]' ({error})\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(app.main())
