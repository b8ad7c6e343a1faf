"""The drawn collection: what each result of each breed is, and its bytes.

Everything follows from (seed, breed, rank), block by block of 40 ranks, so the first results of a
breed stay the same when more are asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial

from PIL import Image

from pipeline.scraping.gallery import edits
from pipeline.scraping.gallery.entry import Answer, Entry, best_names, make_id, small_file
from pipeline.scraping.gallery.faults import with_faults
from pipeline.scraping.gallery.identity import code_version
from pipeline.scraping.gallery.picture import (
    Picture,
    describe,
    encode,
    fitted,
    on_white,
    original,
    render,
    with_grain,
)

BLOCK = 40
# The first planted results of a breed are one of each kind; then the shares decide.
SHARES = {
    "near_duplicate": 0.25,
    "exact_copy": 0.15,
    "collage": 0.20,
    "broken": 0.15,
    "redirect": 0.07,
    "rate_limited": 0.07,
    "slow": 0.06,
    "dead_link": 0.05,
}
LICENCES = {"CC BY 4.0": 0.4, "CC0": 0.25, "CC BY-SA 4.0": 0.2, "All rights reserved": 0.15}
AUTHORS = (
    "Ada Brandt", "Bo Lindqvist", "Chiara Moretti", "Dov Shahar", "Emeka Obi", "Fien de Wit",
    "Goran Petrov", "Hana Suzuki", "Ines Carvalho", "Jamal Haddad", "Kirsi Laine", "Luca Brunner",
    "Mei Tanaka", "Noor Aziz", "Ola Nowak", "Priya Raman",
)  # fmt: skip
MEDIA = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
_DOING = {"stand": "standing", "walk": "out for a walk", "sit": "sitting"}
_WHERE = {
    "meadow": "in a meadow", "beach": "on the beach", "snow": "in the snow",
    "studio": "in the studio", "room": "at home", "autumn": "in autumn", "dusk": "at dusk",
}  # fmt: skip


class Drawn:
    """Results drawn by code, with planted copies, collages and faults (``Collection``)."""

    def __init__(
        self,
        breeds: Sequence[str],
        seed: int,
        per_breed: int,
        planted: float,
        phrases: Mapping[str, Sequence[str]] | None = None,
        faults: float = 0.0,
    ) -> None:
        self.seed, self.phrases = seed, dict(phrases or {})
        self._shape = (per_breed, planted, faults)
        self._by_breed = {
            breed: with_faults(_catalogue(seed, breed, turn, per_breed, planted), faults, turn)
            for turn, breed in enumerate(breeds)
        }
        self._by_id = {item.id: item for items in self._by_breed.values() for item in items}
        # An original may be asked for twice (its exact copies too): keep the last few.
        self._file = lru_cache(maxsize=128)(self._draw_file)
        self._small = lru_cache(maxsize=2048)(self._draw_small)

    def names(self) -> list[str]:
        """The breeds, in the order given."""
        return list(self._by_breed)

    def entries(self, names: Iterable[str]) -> list[Entry]:
        """The results of ``names``; those of several breeds take turns."""
        chosen = [entry for name in names for entry in self._by_breed[name]]
        return sorted(chosen, key=lambda entry: entry.rank)

    def find(self, query: str) -> list[Entry]:
        """The results of the breed (or breeds) a query names; all for the empty query."""
        names = self.names()
        return self.entries(best_names(query, names, self.phrases) if query.strip() else names)

    def entry(self, id: str) -> Entry | None:
        """The result with this id."""
        return self._by_id.get(id)

    def small(self, entry: Entry, longest: int) -> Answer:
        """The picture drawn at most ``longest`` pixels a side."""
        return self._small(entry.id, longest)

    def original(self, entry: Entry) -> Answer:
        """The file behind the result's URL, faults of its bytes included."""
        return self._file(entry.id)

    def identity(self) -> object:
        """All that decides the drawings, the code that draws them included."""
        phrases = {name: list(texts) for name, texts in sorted(self.phrases.items())}
        return [self.seed, self.names(), *self._shape, phrases, code_version()]

    def _draw_small(self, id: str, longest: int) -> Answer:
        entry = self._by_id[id]
        image = self._image(entry, *fitted(*entry.shown, longest))
        return small_file(image, longest)

    def _image(self, entry: Entry, width: int, height: int) -> Image.Image:
        """The picture a result shows, on white, about ``width`` x ``height``."""
        if entry.kind == "collage":
            return self._collage(entry, width, height)
        source = self._by_id[entry.of] if entry.of else entry
        picture = describe(self.seed, source.breed, source.rank)
        if entry.kind != "near_duplicate":
            return on_white(render(picture, width, height))
        scale = max(width, height) / max(entry.shown)
        size = fitted(*source.shown, max(1, round(max(source.shown) * scale)))
        return edits.near_copy(on_white(render(picture, *size)), str(entry.edit))

    def _collage(self, entry: Entry, width: int, height: int) -> Image.Image:
        layout, _, gutter = str(entry.edit).partition(" ")
        rng = random.Random(f"collage {self.seed} {entry.id}")
        # Pictures of the breed that are no results by themselves.
        first = 1_000_000 + entry.rank * 10
        pictures = [describe(self.seed, entry.breed, first + i) for i in range(9)]
        gap = rng.choice((6, 10, 16)) / 800 * max(width, height) if gutter else 0
        cell = partial(_cell, pictures)
        return edits.collage(layout, width, height, round(gap), rng.choice(edits.GUTTERS), cell)

    def _draw_file(self, id: str) -> Answer:
        entry = self._by_id[id]
        if entry.kind == "exact_copy":
            return self._file(str(entry.of))
        media = MEDIA[entry.extension]
        if entry.edit == "html":
            return Answer(edits.HTML, "text/html")
        if entry.edit == "zero":
            return Answer(b"", media)
        picture = describe(self.seed, entry.breed, entry.rank)
        if entry.kind == "collage":
            sheet = with_grain(self._collage(entry, *entry.shown), 1.0)
            return Answer(encode(sheet, "jpg", 88), media)
        if entry.kind == "near_duplicate":
            return Answer(self._near_copy(entry), media)
        if entry.edit == "truncated":
            whole = encode(on_white(original(picture)), "jpg", 90)
            share = random.Random(f"cut {entry.id}").uniform(0.3, 0.75)
            return Answer(edits.truncated(whole, share), media)
        return Answer(encode(original(picture), str(entry.format), picture.quality), media)

    def _near_copy(self, entry: Entry) -> bytes:
        source = self._by_id[str(entry.of)]
        image = on_white(original(describe(self.seed, source.breed, source.rank)))
        quality = 30 if entry.edit == "jpeg30" else 85
        return encode(edits.near_copy(image, str(entry.edit)), "jpg", quality)


def _cell(pictures: list[Picture], number: int, width: int, height: int) -> Image.Image:
    """Picture ``number``, drawn to cover ``width`` x ``height`` and cut to it."""
    picture = pictures[number]
    scale = max(width / picture.width, height / picture.height)
    w, h = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))
    left, top = (w - width) // 2, (h - height) // 2
    drawn = on_white(render(picture, w, h))
    return drawn.crop((left, top, left + width, top + height))


# --------------------------------------------------------------------------- what is planted


def _catalogue(seed: int, breed: str, turn: int, per_breed: int, planted: float) -> list[Entry]:
    """The results of one breed in page order. ``turn`` (the breed's place) varies the edits."""
    kinds = _Kinds()
    counts: dict[str, int] = dict.fromkeys(SHARES, turn)
    entries: list[Entry] = []
    for block in range(-(-per_breed // BLOCK)):
        rng = random.Random(f"block {seed} {breed} {block}")
        quota = int((block + 1) * BLOCK * planted) - int(block * BLOCK * planted)
        # The very first result is a plain picture: a copy needs something to copy.
        spots = set(rng.sample(range(block == 0, BLOCK), quota))
        for place in range(BLOCK):
            rank = block * BLOCK + place
            kind = kinds.next() if place in spots else "single"
            entries.append(_entry(seed, breed, rank, kind, counts.get(kind, 0), entries))
            if kind != "single":
                counts[kind] += 1
    return entries[:per_breed]


def _source(rng: random.Random, earlier: list[Entry]) -> Entry:
    """An earlier plain picture to copy, one that has no copy yet if there is any."""
    copied = {entry.of for entry in earlier}
    singles = [entry for entry in earlier if entry.kind == "single"]
    return rng.choice([entry for entry in singles if entry.id not in copied] or singles)


class _Kinds:
    """Hands out planted kinds so that their counts follow ``SHARES`` as closely as can be."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(SHARES, 0)

    def next(self) -> str:
        unseen = [kind for kind, count in self.counts.items() if not count]
        total = sum(self.counts.values()) + 1
        kind = (
            unseen[0]
            if unseen
            else max(SHARES, key=lambda name: SHARES[name] * total - self.counts[name])
        )
        self.counts[kind] += 1
        return kind


def _entry(
    seed: int, breed: str, rank: int, kind: str, turn: int, earlier: list[Entry]
) -> Entry:  # fmt: skip
    rng = random.Random(f"entry {seed} {breed} {rank}")
    picture = describe(seed, breed, rank)
    shown: tuple[int, int] = (picture.width, picture.height)
    extension: str = picture.format
    form: str | None = picture.format
    of = edit = None
    if kind in ("exact_copy", "near_duplicate"):
        source = _source(rng, earlier)
        of, shown, form, extension = source.id, source.shown, source.format, source.extension
    if kind == "near_duplicate":
        edit = edits.near_edit(rng, turn)
        shown, form, extension = edits.near_size(edit, *shown), "jpg", "jpg"
    elif kind == "collage":
        layout = edits.LAYOUTS[turn % len(edits.LAYOUTS)]
        # The layouts are five, so gutters alternate between one round of them and the next too.
        edit = layout + (" gutter" if turn % 2 == 0 else "")
        shown, form, extension = edits.collage_canvas(layout, rng), "jpg", "jpg"
    elif kind == "broken":
        edit = edits.BROKEN[turn % len(edits.BROKEN)]
        extension = "jpg"
        form = {"html": "html", "zero": None, "wrong_type": "png"}.get(edit, "jpg")
    elif kind == "dead_link":
        edit, form = rng.choice(("404", "410")), None
    whole = kind != "dead_link" and edit not in ("truncated", "html", "zero")
    name = breed.replace("_", " ").strip().capitalize()
    return Entry(
        id=make_id(seed, breed, rank),
        breed=breed,
        rank=rank,
        kind=kind,
        of=of,
        edit=edit,
        extension=extension,
        format=form,
        width=shown[0] if whole else None,
        height=shown[1] if whole else None,
        shown=shown,
        title=f"{name} {_DOING[picture.pose.kind]} {_WHERE[picture.scene.kind]}",
        licence=rng.choices(list(LICENCES), list(LICENCES.values()))[0],
        author=rng.choice(AUTHORS),
    )
