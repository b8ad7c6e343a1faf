"""The embedded gallery: an image-search site of the project's own, with pictures drawn by code.

It behaves as image-search sites do (consent dialog, lazy thumbnails, endless scrolling, a detail
panel with the original's address) and plants duplicates, collages and faults whose truth is known,
so that scraping and cleaning can be run and measured without any network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from starlette.applications import Starlette

from pipeline.scraping.gallery.drawn import Drawn
from pipeline.scraping.gallery.entry import COLUMNS, Collection
from pipeline.scraping.gallery.folder import Folder
from pipeline.scraping.gallery.serve import run, serve
from pipeline.scraping.gallery.site import Site

__all__ = ["Gallery", "run", "serve"]


class Gallery:
    """One gallery: drawn dogs of ``breeds``, or a user's own folder of pictures.

    Args:
        breeds: slugs, as ``siberian_husky``; any name works, unknown ones get a look of their own.
        seed: decides every picture and every planted result.
        per_breed: results a breed, planted ones included. Asking for more later keeps the first.
        planted: share of results that are copies, collages or faults, 0 to 0.9.
        images: serve this folder instead (flat, or a folder a class); nothing is planted then.
        phrases: more search phrases by breed, for names that say little ("gsd").
        faults: share of results whose download misbehaves (faults.py), 0 to 0.9.

    Raises:
        PipelineError: ``images`` is no folder, or holds no pictures.
    """

    def __init__(
        self,
        breeds: Sequence[str] = (),
        seed: int = 0,
        per_breed: int = 100,
        planted: float = 0.2,
        images: Path | None = None,
        phrases: Mapping[str, Sequence[str]] | None = None,
        faults: float = 0.0,
    ) -> None:
        self.collection: Collection = (
            Folder(Path(images), faults)
            if images is not None
            else Drawn(list(breeds), seed, per_breed, planted, phrases, faults)
        )
        self._site = Site(self.collection, own=images is not None)

    @property
    def app(self) -> Starlette:
        """The ASGI application."""
        return self._site.app

    def truth(self) -> pd.DataFrame:
        """What every result is, one row each, breed by breed in page order.

        Columns: id, breed, rank, kind (single, exact_copy, near_duplicate, collage, broken,
        dead_link, redirect, slow, rate_limited), of (id of the picture it copies), edit, url (the
        original's path), format, width, height (of the file served; null where that is no whole
        picture), fault (how its download misbehaves, a key of ``faults.ENDS``; null: it does not).
        """
        rows = [
            entry.row()
            for name in self.collection.names()
            for entry in self.collection.entries([name])
        ]
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        return table.astype({"width": "Int64", "height": "Int64"})
