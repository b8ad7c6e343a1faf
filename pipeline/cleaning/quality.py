"""Faults of a single picture: blank, dark, blurred, text; odd_aspect and too_small from its sides.

A score lies in [0, 1] and rises with the fault; at 0.5 the score itself calls it one. The first
four are taken from a grey picture squashed to 256 x 256, without its uniform frame, and so do not
depend on the size or the format of the file:

- blank: hardly any of 16 x 16 blocks holds anything. A small dog on white paper fills a few blocks
  and is not blank; a smooth gradient is.
- dark: even the light parts are dark.
- blurred: the steepest step in a block against the range of grey in it, where the picture has
  contrast. An edge as sharp as the picture can show takes one pixel; a blurred one is a ramp. Only
  the sharpest few blocks count, so a sharp dog before a soft background is not blurred, and neither
  darkness nor low contrast makes a picture so.
- text: what steps there are, are steep, and what lies between them is flat and of few greys: pages,
  captions that fill the picture, logos. A dog cut out on white has shades within.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.params import QUALITIES, DedupeParams

SCORES = ("blank", "dark", "blurred", "text")
SIDE = 256  # of the grey picture that is judged

_BLOCKS = 16
_MOST = 13  # blocks (5 %) that are enough to hold a subject
_BLANK = 20.0  # range of grey in the fullest blocks
_DARK = 80.0  # grey level of the light parts
_LIGHT = 0.98  # share of the pixels that are darker than the light parts
_BLURRED = 0.3  # steepest step / range of grey
_CONTRAST = 12.0  # range of grey below which a block shows nothing but noise
_TEXT = 0.26
_WEAK, _STEEP = 0.06, 0.35  # steps, as shares of the range of grey in the fullest blocks
_CONTRAST_OF_TEXT = 32.0  # the least range of grey that is reckoned with
_SHADE = 17  # grey levels that look like one


def scores(
    grey: np.ndarray, frame: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
) -> dict[str, float]:
    """The four scores of a picture, each in [0, 1].

    Args:
        grey: 256 x 256, uint8, the whole picture.
        frame: shares of it to leave out at the left, top, right and bottom.
    """
    left, top, right, bottom = (round(SIDE * share) for share in frame)
    inner = np.ascontiguousarray(grey[top : SIDE - bottom, left : SIDE - right])
    step = np.maximum(
        _apart(inner[:-1, 1:], inner[:-1, :-1]), _apart(inner[1:, :-1], inner[:-1, :-1])
    )
    span = _blocks(inner, np.maximum) - _blocks(inner, np.minimum)
    counts = histogram(inner)
    fullest = np.sort(span.ravel())[-_most(span)]
    light = int(np.searchsorted(np.cumsum(counts), _LIGHT * inner.size))
    return {
        "blank": _score(_BLANK, float(fullest), 2),
        "dark": _score(_DARK, float(light), 3),
        "blurred": _score(_BLURRED, _sharpest(step, span), 4),
        "text": _text(step, counts, float(fullest)),
    }


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum(a, b) - np.minimum(a, b)  # stays in bytes, unlike abs(a - b)


def histogram(values: np.ndarray) -> np.ndarray:
    """How many there are of each of the 256 bytes. Pillow counts them much faster than numpy."""
    return np.array(Image.fromarray(values).histogram())


def _score(limit: float, value: float, bend: int) -> float:
    """Falls from 1 at value 0 through 0.5 at the limit."""
    return limit**bend / (limit**bend + value**bend)


def _blocks(values: np.ndarray, reduce: np.ufunc) -> np.ndarray:
    """The largest or smallest of each of about 16 x 16 blocks."""
    rows = np.linspace(0, values.shape[0], _BLOCKS, endpoint=False).astype(np.int64)
    columns = np.linspace(0, values.shape[1], _BLOCKS, endpoint=False).astype(np.int64)
    return reduce.reduceat(reduce.reduceat(values, rows, axis=0), columns, axis=1)


def _most(blocks: np.ndarray) -> int:
    return max(1, min(_MOST, blocks.size // 4))


def _sharpest(step: np.ndarray, span: np.ndarray) -> float:
    """How sharp the sharpest blocks with contrast are: steepest step / range."""
    steep = _blocks(step, np.maximum)
    clear = span >= max(_CONTRAST, 0.3 * float(np.sort(span.ravel())[-_most(span)]))
    if not clear.any():
        return 1.0  # nothing there to be blurred
    ratios = np.sort(steep[clear] / span[clear])
    return float(ratios[-min(_MOST, -(-len(ratios) // 4))])


def _text(step: np.ndarray, counts: np.ndarray, contrast: float) -> float:
    """How much of what steps at all steps steeply, times the share of the two commonest greys."""
    contrast = max(contrast, _CONTRAST_OF_TEXT)
    sizes = histogram(step)
    weak, steep = (int(sizes[int(share * contrast) + 1 :].sum()) for share in (_WEAK, _STEEP))
    near = np.convolve(counts, np.ones(_SHADE), "same") / counts.sum()
    first = int(np.argmax(near))
    common = float(near[first])
    near[max(0, first - _SHADE) : first + _SHADE + 1] = 0
    common += float(near.max())
    # The little that is added to the weak steps: a picture without any is no text.
    return 1 - _score(_TEXT, steep / (weak + 0.002 * step.size) * common, 3)


def judge(measured: pd.DataFrame, params: DedupeParams) -> pd.DataFrame:
    """For each of ``params.QUALITIES`` its score and whether it is a fault by the limits of params.

    Args:
        measured: ``fault``, ``width``, ``height`` and the columns named in ``SCORES``.

    Returns:
        Columns ``<name>_score`` (float64 in [0, 1]) and ``is_<name>`` (bool), indexed as
        ``measured``; NaN and False where there is no picture. The scores of odd_aspect and
        too_small are 0.5 at ``max_aspect`` and at ``min_side``, which are still allowed.
    """
    whole = measured["fault"].isna().to_numpy(bool)
    sides = measured[["width", "height"]].astype("float64").to_numpy()
    short, long = sides.min(axis=1), sides.max(axis=1)
    table = {name: measured[name].to_numpy(np.float64) for name in SCORES}
    table["odd_aspect"] = long / (long + params.max_aspect * short)
    table["too_small"] = params.min_side / (params.min_side + short)
    found = {name: table[name] >= getattr(params.quality, name) for name in SCORES}
    found["odd_aspect"] = long > params.max_aspect * short
    found["too_small"] = short < params.min_side
    columns = {}
    for name in QUALITIES:
        columns[f"{name}_score"] = np.where(whole, table[name], np.nan)
        columns[f"is_{name}"] = found[name] & whole
    return pd.DataFrame(columns, index=measured.index)
