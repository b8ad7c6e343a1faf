"""One spelling for a licence, however a site writes it: names, addresses of deeds, codes."""

from __future__ import annotations

import re

# The codes of flickr.photos.licenses.getInfo.
_FLICKR = {
    "0": "All rights reserved",
    "1": "CC BY-NC-SA 2.0",
    "2": "CC BY-NC 2.0",
    "3": "CC BY-NC-ND 2.0",
    "4": "CC BY 2.0",
    "5": "CC BY-SA 2.0",
    "6": "CC BY-ND 2.0",
    "7": "No known copyright restrictions",
    "8": "United States Government work",
    "9": "CC0",
    "10": "Public domain",
    # The six of version 4.0 that came in June 2025; which is which could not be confirmed.
    **dict.fromkeys(("11", "12", "13", "14", "15", "16"), "Creative Commons"),
}
_CC0, _PUBLIC = "CC0", "Public domain"
_PARTS = ("BY", "NC", "ND", "SA")  # in the order in which they are written

_PART = r"(?:by|nc|nd|sa)"
_DEED = re.compile(
    r"creativecommons\.org/(?:licenses|publicdomain)/(?P<parts>[a-z+-]+)"
    r"(?:/(?P<version>\d\.\d))?(?:/(?P<place>[a-z]{2,3})(?![a-z.]))?"
)
_ZERO = re.compile(r"\bcc[\s-]?(?:0|zero)\b|\bcreative commons zero\b")
_SHORT = re.compile(
    rf"\bcc[\s-]*(?P<parts>{_PART}(?:[\s-]{_PART})*)\b(?:[\s-]*v?(?P<version>\d(?:\.\d)?)\b)?"
    r"(?:[\s-](?P<place>[a-z]{2}|igo)$)?"
)
_CODE = re.compile(rf"(?P<parts>{_PART}(?:-{_PART})*)(?:[\s-](?P<version>\d\.\d))?")
_WORD = {"commercial": "NC", "deriv": "ND", "alike": "SA"}
_LONG = re.compile(
    r"(?P<named>creative commons[\s,:-]+)?attribution"
    r"(?P<parts>(?:[\s,–-]+(?:non[\s-]?commercial|no[\s-]?deriv\w*(?: works?)?|share[\s-]?alike))*)"
    r"(?:\s+licen[cs]e)?(?:\s+v?(?P<version>\d(?:\.\d)?)\b)?"
)
_FREE = re.compile(r"\bpublic domain\b|^pdm?(?:[\s-]|$)|\bcc-pd\b|^publicdomain$")
_NOT = re.compile(r"\b(?:not?|never|no longer|non|isn't)\b[^.;:]{0,40}$")


def normalise(text: str | None) -> str | None:
    """A licence as ``CC BY-SA 4.0``, ``CC0`` or ``Public domain``.

    Understands names, deeds' addresses and the codes of Openverse (``by-sa``) and Flickr (``5``).
    Where several are offered it is the first under Creative Commons. What is none of these stays
    as it is, with its spaces in order; None where nothing is said.
    """
    told = " ".join((text or "").split())
    if not told:
        return None
    return _FLICKR.get(told) or _free(told.lower()) or told


def is_cc(text: str | None) -> bool:
    """Whether a licence is said to be Creative Commons (any), CC0 or public domain.

    "Some rights reserved" and "no known restrictions" do not say so, and do not count.
    """
    licence = normalise(text) or ""
    return licence.startswith(("CC ", _CC0)) or licence in (_PUBLIC, "Creative Commons")


def _free(text: str) -> str | None:
    """The free licence that a text in lower case names, or None."""
    for deed in _DEED.finditer(text):
        if licence := _deed(**deed.groupdict()):
            return licence
    code = _CODE.fullmatch(text)
    if code and code["parts"] != "sa":
        return _name(code["parts"], code["version"])
    if _told(_ZERO, text):
        return _CC0
    if short := _told(_SHORT, text):
        place = short["place"] if short["version"] else None
        return _name(short["parts"], short["version"], place)
    long = _told(_LONG, text)
    if long and (long["named"] or long["parts"]):
        parts = [part for word, part in _WORD.items() if word in long["parts"]]
        return _name("-".join(["by", *parts]), long["version"])
    if _told(_FREE, text):
        return _PUBLIC
    sampling = re.fullmatch(r"(?:cc )?((?:nc-)?sampling\+)(?:\s+(\d\.\d))?", text)
    if sampling:
        return _deed(sampling[1], sampling[2], None)
    return "Creative Commons" if text == "creative commons" else None


def _told(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The first match that the words before it do not deny ("not in the public domain")."""
    return next((m for m in pattern.finditer(text) if not _NOT.search(text[: m.start()])), None)


def _deed(parts: str, version: str | None, place: str | None) -> str | None:
    """The licence of an address ``…/licenses/by-sa/3.0/de/`` or ``…/publicdomain/zero/1.0/``."""
    if parts in ("zero", "mark", "publicdomain", "certification"):
        return _CC0 if parts == "zero" else _PUBLIC
    if parts in ("sampling+", "nc-sampling+", "sampling"):
        name = parts.replace("nc-", "NC-").replace("sampling", "Sampling")
        return f"CC {name} {version}" if version else f"CC {name}"
    return _name(parts, version, place) if re.fullmatch(rf"{_PART}(-{_PART})*", parts) else None


def _name(parts: str, version: str | None, place: str | None = None) -> str:
    given = re.split(r"[\s-]+", parts.upper())
    ordered = "-".join(part for part in _PARTS if part in given)
    number = version if not version or "." in version else f"{version}.0"
    return " ".join(filter(None, ("CC", ordered, number, place and place.upper())))
