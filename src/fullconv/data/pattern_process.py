"""The process that searches: reads pattern, keys and seconds from its input, and writes what is found.

Run by its path, without the package: it needs the standard library alone and starts in hundredths of a second.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from contextlib import suppress

MEMORY = 2 * 2**30


def main() -> None:
    """Answer with a list of what each key holds, or with the sentence of what is wrong with the pattern."""
    pattern, keys, seconds = json.load(sys.stdin)
    if hasattr(signal, "alarm"):  # so that it ends, too, when whoever waits for it is gone
        signal.alarm(int(seconds) + 1)
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        json.dump(str(error), sys.stdout)
        return
    matches = map(compiled.search, keys)
    json.dump(
        [match and ("/".join(part or "" for part in match.groups()) or match[0]) for match in matches], sys.stdout
    )


if __name__ == "__main__":
    main()
