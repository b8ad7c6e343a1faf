"""Where a source lives: the open web, a gallery somebody runs, or the one we serve ourselves."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.client import HTTPException
from importlib import resources
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from pipeline.errors import ParamsError, PipelineError
from pipeline.params import GalleryParams, ScrapeParams
from pipeline.scraping.breeds import Breed
from pipeline.scraping.frontier import SPARE, generous
from pipeline.scraping.page import Candidate
from pipeline.scraping.sources import Source, check_name, source_names
from pipeline.workspace import Workspace, fingerprint

GALLERY = "gallery"


@dataclass(frozen=True)
class Site:
    """Where a source is reached now, and what its addresses are worth later.

    ``base`` is what the pictures depend on, ``pages`` what the lists of results depend on: their
    identities in the ledger. ``pages`` is None where nothing tells whether they are still the same.
    The embedded gallery has another port each time. ``shown`` then stands for its address in
    ledger and manifest, so that equal params give equal bytes.
    """

    base: str
    pages: str | None
    url: str = ""
    shown: str = ""
    allowed: tuple[str, ...] = ()  # private host:port that downloads may connect to
    timeless: bool = False  # its pictures are made on request: no time of fetching is kept

    def identities(self, place: int) -> tuple[str, str | None]:
        """``base`` and ``pages`` for the breed at ``place``; drawn pictures depend on that too."""
        if not self.timeless:
            return self.base, self.pages
        return f"{self.base} {place}", f"{self.pages} {place}"

    def name(self, address: str | None) -> str | None:
        """An address as it is written down."""
        if address and self.shown and address.startswith(f"{self.url}/"):
            return self.shown + address.removeprefix(self.url)
        return address

    def address(self, name: str) -> str:
        """Where what is written down can be fetched now."""
        if self.shown and name.startswith(f"{self.shown}/"):
            return self.url + name.removeprefix(self.shown)
        return name

    def named(self, candidate: Candidate) -> Candidate:
        return replace(
            candidate,
            image_url=self.name(candidate.image_url) or "",
            page_url=self.name(candidate.page_url),
        )


def check_sites(params: ScrapeParams, sources: list[Source], workspace: Workspace) -> None:
    """Raises ``ParamsError`` when a source has no address, or one that cannot be meant."""
    known = source_names(workspace.here / "sources")
    for name, address in params.bases.items():
        check_name("scrape.bases", name, known)
        if name == GALLERY:
            raise ParamsError(f"scrape.bases: {GALLERY} has scrape.gallery.url for its address")
        _check_address(f"scrape.bases: {name}", address)
    for source in sources:
        own = source.name in params.bases
        if source.name == GALLERY:
            check_gallery(params.gallery, workspace)
        elif source.needs_base and not own:
            raise ParamsError(
                f"scrape.bases: {source.name} has no address of its own: give yours, as -S "
                f"'scrape.bases={{{source.name}: https://search.example.org}}'"
            )
        elif source.needs_contact and not own and not params.contact:
            raise ParamsError(
                f"scrape.contact: {source.name} asks every program for a way to reach who runs it: "
                "give a web or mail address, as -S scrape.contact=mail@example.org"
            )
    if params.contact is not None and not re.search(r"\w@\w|https?://\w", params.contact):
        raise ParamsError(f"scrape.contact: got {params.contact!r}, expected a web or mail address")


def check_gallery(params: GalleryParams, workspace: Workspace) -> None:
    """Raises ``ParamsError`` when the gallery's address or folder cannot be meant."""
    if params.url is not None:
        _check_address("scrape.gallery.url", params.url)
    folder = gallery_folder(params, workspace)
    if folder is not None and not folder.is_dir():
        raise ParamsError(f"scrape.gallery.images: {folder} is no folder; give one with pictures")


def gallery_folder(params: GalleryParams, workspace: Workspace) -> Path | None:
    return None if params.images is None else workspace.shared / params.images


def user_agent(params: ScrapeParams) -> str:
    """Who we say we are: the product token, and where to reach whoever runs it."""
    return params.user_agent + (f" ({params.contact})" if params.contact else "")


@contextlib.contextmanager
def open_site(
    source: Source, params: ScrapeParams, breeds: list[Breed], workspace: Workspace
) -> Iterator[Site]:
    """The site of ``source``, running for as long as the context lasts."""
    if source.name != GALLERY:
        yield _web_site(source, params)
    elif params.gallery.url is not None:
        yield _foreign_gallery(params.gallery.url)
    else:
        with _embedded_gallery(params, breeds, workspace) as site:
            yield site


def _web_site(source: Source, params: ScrapeParams) -> Site:
    """A real site; one at another address than usual (a user's own wiki) is another site."""
    own = params.bases.get(source.name)
    base = source.name if own is None else f"{source.name} {own.rstrip('/')}"
    # With the site's own licence filter its lists are others.
    pages = f"{base} cc" if params.license == "cc" and source.cc else base
    url = (own or source.base).rstrip("/")
    allowed = () if own is None else ("{}:{}".format(*authority(own)),)
    return Site(base, pages, url, allowed=allowed)


def _foreign_gallery(url: str) -> Site:
    """A gallery that is served by somebody else, told apart by what it says of itself."""
    url = url.rstrip("/")
    host, port = authority(url)
    try:
        with build_opener(ProxyHandler({})).open(f"{url}/healthz", timeout=20) as answer:
            identity = answer.read(4096)
    except (URLError, OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise PipelineError(
            f"scrape.gallery.url: {url} does not answer ({reason}): start it with "
            "`pipeline gallery`, or leave the key empty to use the embedded one"
        ) from None
    base = f"{GALLERY} {url} {hashlib.sha256(identity).hexdigest()[:16]}"
    # One that only says it is well may hold other pictures than last time.
    pages = base if identity.strip() not in (b"", b"ok") else None
    return Site(base, pages, url, allowed=(f"{host}:{port}",))


def authority(url: str) -> tuple[str, int]:
    """Host (an IPv6 one in brackets) and port of an http(s) address. Raises ``ValueError``."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    if not parts.hostname or default is None:
        raise ValueError(url)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return host, parts.port or default


def _check_address(key: str, url: str) -> None:
    try:
        authority(url)
    except ValueError:
        raise ParamsError(
            f"{key}: got {url!r}, expected an address as http://127.0.0.1:8000"
        ) from None


@contextlib.contextmanager
def _embedded_gallery(
    params: ScrapeParams, breeds: list[Breed], workspace: Workspace
) -> Iterator[Site]:
    # Starlette and Jinja are loaded only where pages are served.
    from pipeline.scraping.gallery import Gallery, serve

    mine, folder = params.gallery, gallery_folder(params.gallery, workspace)
    lost = 0.75 * mine.planted + mine.faults / (1 - mine.faults)
    per_breed = generous(params.sources[GALLERY], max(SPARE, lost))
    identity = {
        "seed": mine.seed,
        "planted": mine.planted,
        "faults": mine.faults,
        "images": None if folder is None else _listing(folder),
        "code": _code_of_gallery(),
    }
    gallery = Gallery(
        [breed.name for breed in breeds],
        seed=mine.seed,
        per_breed=per_breed,
        planted=mine.planted,
        images=folder,
        phrases={breed.name: breed.queries for breed in breeds},
        faults=mine.faults,
    )
    base = f"{GALLERY} {fingerprint(identity)[:16]}"
    with serve(gallery) as url:
        url = url.rstrip("/")
        yield Site(
            base,
            f"{base} {per_breed}",  # asked for more, it shows the same pictures first
            url,
            shown=f"{GALLERY}:",
            allowed=(urlsplit(url).netloc,),
            timeless=True,
        )


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        (path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns)
        for path in files
        for stat in [path.stat()]
    ]


def _code_of_gallery() -> str:
    """The pictures are what this code draws: with other code they are others."""
    digest = hashlib.sha256()
    files = (resources.files("pipeline.scraping") / GALLERY).iterdir()
    for file in sorted(files, key=lambda item: item.name):
        if file.name.endswith(".py"):
            digest.update(f"{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()
