"""The action `analyze`: a function that is given its params and the context of the run."""

import re
from collections import Counter
from pathlib import Path


def analyze(params, context):
    """Count what a text file holds.

    `path` names the file on the agent's machine; `top` is how many of the most common words to give, 3 by default.
    """
    text = Path(params["path"]).read_text(encoding="utf-8")
    words = re.findall(r"[^\W\d_]+", text.lower())
    context.logger.info("Read %d characters of %s", len(text), params["path"])
    return {
        "lines": len(text.splitlines()),
        "words": len(words),
        "characters": len(text),
        "most_common": [[word, count] for word, count in Counter(words).most_common(params.get("top", 3))],
    }
