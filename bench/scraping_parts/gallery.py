"""The embedded gallery in a process of its own: python gallery.py TILES

prints its address once all placeholders are drawn, so that only the pages are measured.
"""

from __future__ import annotations

import sys

from pipeline.scraping.gallery import Gallery, run
from pipeline.scraping.gallery.site import PLACEHOLDER

if __name__ == "__main__":
    gallery = Gallery(["beagle"], per_breed=int(sys.argv[1]), planted=0)
    for entry in gallery.collection.find(""):
        gallery.collection.small(entry, PLACEHOLDER)
    run(gallery, port=0, on_ready=lambda url: print(url, flush=True))
