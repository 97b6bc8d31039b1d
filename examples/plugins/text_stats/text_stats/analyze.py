"""The action `analyze`: a function that receives its params and the context of the run."""

import re
from collections import Counter
from pathlib import Path


def analyze(params, context):
    """Count the lines, words and characters of a text file.

    `path` is the file on the agent's machine; `top` is the number of most common words to return, 3 by default.
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
