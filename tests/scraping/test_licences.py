"""One licence, one spelling: whatever form a site gives it in."""

from __future__ import annotations

import pytest

from pipeline.scraping.licences import is_cc, normalise

DEED = "https://creativecommons.org"


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        # as Commons, Flickr and authors write them
        ("CC BY-SA 4.0", "CC BY-SA 4.0"),
        ("cc-by-sa-4.0", "CC BY-SA 4.0"),
        ("CC-BY-NC-ND 2.0", "CC BY-NC-ND 2.0"),
        ("CC BY 2", "CC BY 2.0"),
        ("CC BY", "CC BY"),
        ("CC BY-SA 3.0 de", "CC BY-SA 3.0 DE"),
        ("CC BY 3.0 IGO", "CC BY 3.0 IGO"),
        ("CC-BY-SA-3.0,2.5,2.0,1.0", "CC BY-SA 3.0"),
        ("GFDL, CC BY-SA 3.0", "CC BY-SA 3.0"),
        ("Some rights reserved (CC BY-SA 2.0)", "CC BY-SA 2.0"),
        ("CC BY-SA 4.0 by Ann Lee", "CC BY-SA 4.0"),
        ("CC BY-ND-NC 1.0", "CC BY-NC-ND 1.0"),
        ("Creative Commons Attribution-ShareAlike 4.0 International", "CC BY-SA 4.0"),
        ("Creative Commons Attribution Share Alike 3.0", "CC BY-SA 3.0"),
        ("Creative Commons Attribution 4.0", "CC BY 4.0"),
        ("Attribution-NonCommercial-NoDerivs 2.0 Generic", "CC BY-NC-ND 2.0"),
        ("Attribution-NonCommercial-ShareAlike License", "CC BY-NC-SA"),
        ("Creative Commons", "Creative Commons"),
        ("  CC\n  BY  4.0 ", "CC BY 4.0"),
        # nothing to ask for
        ("CC0", "CC0"),
        ("cc0", "CC0"),
        ("CC0 1.0 Universal", "CC0"),
        ("Public Domain Dedication (CC0)", "CC0"),
        ("Creative Commons Zero, Public Domain Dedication", "CC0"),
        ("Public domain", "Public domain"),
        ("Public Domain Mark 1.0", "Public domain"),
        ("pdm", "Public domain"),
        ("PD-self", "Public domain"),
        ("CC-PD-Mark", "Public domain"),
        # addresses
        (f"{DEED}/licenses/by-sa/3.0/", "CC BY-SA 3.0"),
        (f"{DEED}/licenses/by-sa/3.0/de/", "CC BY-SA 3.0 DE"),
        (f"{DEED}/licenses/by/4.0/deed.en", "CC BY 4.0"),
        (f"{DEED}/licenses/by/4.0/legalcode", "CC BY 4.0"),
        (f"{DEED}/licenses/by-nc/2.0?ref=openverse", "CC BY-NC 2.0"),
        (f"{DEED}/licenses/by-nd-nc/1.0/", "CC BY-NC-ND 1.0"),
        (f"{DEED}/licenses/sampling+/1.0/", "CC Sampling+ 1.0"),
        (f"{DEED}/licenses/publicdomain/", "Public domain"),
        (f"{DEED}/publicdomain/zero/1.0/", "CC0"),
        (f"{DEED}/publicdomain/mark/1.0/", "Public domain"),
        (f'<a href="{DEED}/licenses/by/2.0/">some rights</a>', "CC BY 2.0"),
        # codes of Openverse and Flickr
        ("by", "CC BY"),
        ("by-nc-sa", "CC BY-NC-SA"),
        ("by-sa 2.0", "CC BY-SA 2.0"),
        ("sampling+", "CC Sampling+"),
        ("5", "CC BY-SA 2.0"),
        ("9", "CC0"),
        ("10", "Public domain"),
        ("11", "Creative Commons"),
    ],
)
def test_free_licences_have_one_spelling(text: str, licence: str) -> None:
    assert normalise(text) == licence
    assert is_cc(text)
    assert normalise(licence) == licence  # nothing is left to do


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("0", "All rights reserved"),
        ("7", "No known copyright restrictions"),
        ("All  rights\nreserved", "All rights reserved"),
        ("© 2024 Ann", "© 2024 Ann"),
        ("Some rights reserved", "Some rights reserved"),
        ("GFDL", "GFDL"),
        ("Attribution", "Attribution"),  # on Commons a licence of its own
        ("Copyrighted free use", "Copyrighted free use"),
        ("not in the public domain", "not in the public domain"),
        ("This is no longer CC BY 4.0", "This is no longer CC BY 4.0"),
        ("no CC0", "no CC0"),
        ("photo by Ann", "photo by Ann"),
        ("accby", "accby"),
        ("https://example.org/licenses/by/4.0/", "https://example.org/licenses/by/4.0/"),
        ("https://creativecommons.org/about/", "https://creativecommons.org/about/"),
        ("42", "42"),
    ],
)
def test_all_else_stays_as_it_is_told(text: str, licence: str) -> None:
    assert normalise(text) == licence
    assert not is_cc(text)


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_nothing_said_is_no_licence(text: str | None) -> None:
    assert normalise(text) is None
    assert not is_cc(text)
