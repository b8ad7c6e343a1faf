"""breeds.yaml: what is accepted, and the one line that says what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import ParamsError
from pipeline.scraping.breeds import Breed, choose_breeds, load_breeds

REPOSITORY = Path(__file__).resolve().parents[2]
KNOWN = [Breed("beagle", ("beagle dog",)), Breed("boxer", ("boxer dog",)), Breed("pug", ("pug",))]


def written(folder: Path, text: str) -> Path:
    path = folder / "breeds.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_list_that_ships_holds_26_breeds() -> None:
    breeds = load_breeds(REPOSITORY / "breeds.yaml")
    assert len(breeds) == 26
    assert breeds[0] == Breed("siberian_husky", ("siberian husky dog",))


def test_several_phrasings_make_a_list(tmp_path: Path) -> None:
    path = written(tmp_path, "pug: [pug dog, ' pug puppy ']\nboxer: boxer dog\n")
    assert load_breeds(path) == [Breed("pug", ("pug dog", "pug puppy")), KNOWN[1]]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "breeds.yaml: lists no breed"),
        ("Great Dane: great dane", "breeds.yaml: Great Dane: a breed's name"),
        ("../up: x", "breeds.yaml: ../up: a breed's name"),
        ("7: seven", "breeds.yaml: 7: a breed's name"),
        ("pug:", "breeds.yaml: pug: got None"),
        ("pug: ''", "breeds.yaml: pug: got ''"),
        ("pug: [pug, 3]", "breeds.yaml: pug: got ['pug', 3]"),
        ("pug: a\npug: b", "breeds.yaml: is not YAML"),
        ("- pug", "breeds.yaml: expected keys and values"),
    ],
)
def test_a_bad_file_is_named_with_its_key(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ParamsError) as caught:
        load_breeds(written(tmp_path, text))
    assert str(caught.value).startswith(named)


def test_a_number_counts_from_the_top_and_names_keep_their_order() -> None:
    assert choose_breeds(KNOWN, 2) == KNOWN[:2]
    assert choose_breeds(KNOWN, ["pug", "beagle"]) == [KNOWN[2], KNOWN[0]]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (4, "got 4, but breeds.yaml lists 3"),
        (["beagel"], "unknown breed beagel; did you mean beagle?"),
        (["xyz"], "unknown breed xyz; breeds.yaml lists"),
        (["pug", "pug"], "pug is named twice"),
        ([], "got an empty list"),
    ],
)
def test_breeds_that_cannot_be_meant(wanted: int | list[str], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        choose_breeds(KNOWN, wanted)
