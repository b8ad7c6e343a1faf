"""Downloads in a process of their own: how each address ended, and how its memory grew.

    python lean_client.py FOLDER MAX_BYTES URL...

Prints JSON: the reasons by address, None for what arrived, and the bytes by which the peak of
the memory rose.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from wire import download


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main(folder: str, most: str, *urls: str) -> None:
    # Loads what the first download loads.
    download(["http://127.0.0.1:9/x"], Path(folder), allow="http://127.0.0.1:9", retries=1)
    before = peak()
    results = download(
        urls, Path(folder), allow=urls, wait=300, retries=1, timeout=200.0, max_bytes=int(most)
    )
    reasons = {url: result.reason for url, result in results.items()}
    print(json.dumps({"reasons": reasons, "grown": peak() - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
