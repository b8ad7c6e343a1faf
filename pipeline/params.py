"""The one schema of params.yaml: types, bounds, choices, messages.

Every knob of the project is a field here with its default, its meaning and what is allowed.
``load`` reads a file against it, ``override`` applies ``key=value`` from a command line, and both
name file, key, value and what is allowed when something does not fit. Nothing else parses params.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import ParamsError
from pipeline.knobs import assign, check_section, knob, parse_assignment, read_document
from pipeline.params_together import check_together

SCHEDULES = ("linear", "cosine", "sigmoid", "karras")
OBJECTIVES = ("x0", "eps", "v", "edm")
WEIGHTINGS = ("none", "min_snr", "edm")
DRAWS = ("uniform", "importance", "lognormal")
LOSSES = ("mse", "l1", "huber")
SAMPLERS = ("ddpm", "ddim", "heun", "dpmpp_2m", "dpmpp_3m", "unipc")
VARIANCES = ("posterior", "beta")
GUIDES = ("labels", "early")
LEVERS = ("auto", "always", "never")
NETS = ("unet", "simple", "annotated", "context", "smol", "dogs")
LICENSES = ("any", "cc")
QUALITIES = ("blank", "dark", "blurred", "text", "odd_aspect", "too_small")
COLLAGES = ("drop", "split", "keep")
EXECUTORS = ("local", "dask")


@dataclass(frozen=True)
class GalleryParams:
    """The embedded image-search site (source ``gallery``)."""

    seed: int = knob(0, "seed of the drawn pictures and of the planted faults", low=0)
    planted: float = knob(
        0.2, "share of results that are planted duplicates, collages and faults", low=0, high=0.9
    )
    faults: float = knob(
        0.0,
        "share of results whose download misbehaves (for trying out the scraper)",
        low=0,
        high=0.9,
    )
    url: str | None = knob(None, "address of a running gallery, in place of the embedded one")
    images: str | None = knob(None, "serve this folder of pictures in place of drawn dogs")


@dataclass(frozen=True)
class ScrapeParams:
    breeds: int | list[str] = knob(
        6, "how many breeds from the top of breeds.yaml, or a list of names", low=1, high=10_000
    )
    sources: dict[str, int] = knob(
        {"gallery": 80}, "images wanted per breed from each source", low=1, high=100_000
    )
    import_path: str | list[str] | None = knob(
        None,
        "data sets to take in place of scraping: folder of class folders, tar, zip, .npy, "
        "torchvision:NAME",
    )
    import_labels: str | None = knob(None, "labels (.npy) of an imported .npy of pictures")
    import_classes: list[str] = knob([], "names of these labels, in order ([]: class_0, class_1)")
    import_root: str | None = knob(None, "folder of torchvision's data sets (null: data/import)")
    minimum: int = knob(
        1, "pictures a breed must have from all sources together, else the stage fails", low=0
    )
    strict: bool = knob(
        True, "a source that failed (blocked, layout changed) fails the stage once all others ended"
    )
    license: str = knob(
        "any",
        "which pictures to take: any, or cc for those said to be under Creative Commons",
        choices=LICENSES,
    )
    ignore_robots: list[str] = knob(
        [], "sources whose search pages are read although robots.txt forbids it; recorded"
    )
    contact: str | None = knob(
        None, "web or mail address for a site's operators to reach you, sent with each request"
    )
    user_agent: str = knob("breed-diffusion/0.1", "product token sent with each request")
    bases: dict[str, str] = knob(
        {}, "address of a source where it is not its usual one, as searxng: https://search.example"
    )
    allow_private: list[str] = knob(
        [], "host:port pairs in private networks that downloads may connect to"
    )
    grid_url: str | None = knob(
        None, "Selenium Grid to run the browsers on, as http://grid:4444; null: on this machine"
    )
    workers: int = knob(1, "browsers at once", low=1, high=64)
    connections: int = knob(8, "downloads at once", low=1, high=256)
    per_host: int = knob(4, "downloads at once from one host", low=1, high=256)
    per_host_rate: float = knob(
        0.0, "downloads a second from one host (0: no limit of its own)", low=0, high=1000
    )
    timeout: float = knob(30.0, "seconds for one download, all retries apart", low=1, high=600)
    retries: int = knob(4, "attempts for a failure that can pass (429, 5xx, reset)", low=1, high=20)
    max_bytes: int = knob(26_214_400, "largest picture file accepted", low=1024)
    gallery: GalleryParams = field(default_factory=GalleryParams)


@dataclass(frozen=True)
class QualityParams:
    """Scores from which a picture has a fault; 0.5 is what each score calls one."""

    blank: float = knob(0.5, "score from which a picture is blank", low=0, high=1)
    dark: float = knob(0.5, "score from which a picture is dark", low=0, high=1)
    blurred: float = knob(0.5, "score from which a picture is blurred", low=0, high=1)
    text: float = knob(0.5, "score from which a picture is text or a logo", low=0, high=1)


@dataclass(frozen=True)
class DedupeParams:
    min_side: int = knob(64, "pictures with a shorter side are too_small", low=1)
    max_aspect: float = knob(4.0, "long side over short side above this is odd_aspect", low=1)
    drop: list[str] = knob(
        ["blank", "odd_aspect", "too_small"],
        "faults for which a picture is dropped",
        choices=QUALITIES,
    )
    quality: QualityParams = field(default_factory=QualityParams)
    max_pixels: int = knob(50_000_000, "larger pictures are refused from their header", low=4096)
    near_duplicates: bool = knob(
        True, "drop pictures that show the same, not only equal files (false for sprites)"
    )
    near_distance: int = knob(
        6, "pHash bits that may differ in a certain near-duplicate", low=0, high=20
    )
    loose_distance: int = knob(
        10, "pHash bits that may differ if the pictures also correlate", low=0, high=20
    )
    correlation: float = knob(
        0.85, "least correlation of 32x32 thumbnails for a loose near-duplicate", low=0, high=1
    )
    mirrored: bool = knob(True, "a mirrored copy is a duplicate too")
    collage: str = knob(
        "drop",
        "what becomes of collages (split: their large cells stay as pictures)",
        choices=COLLAGES,
    )
    collage_alarms: float = knob(
        0.01, "share of single pictures that may be called collages", low=0, high=0.5
    )
    executor: str = knob("local", "where files are measured", choices=EXECUTORS)
    scheduler: str | None = knob(
        None, "address of the Dask scheduler, as tcp://head:8786 (executor dask)"
    )
    workers: int = knob(0, "processes that decode (0: one per core)", low=0, high=256)


@dataclass(frozen=True)
class ResizeParams:
    size: int = knob(64, "side of the square pictures, in pixels", low=8, high=512)
    held_out: float = knob(
        0.1, "share kept from training, split by duplicate cluster", low=0, high=0.5
    )
    workers: int = knob(0, "processes that decode (0: one per core)", low=0, high=256)


@dataclass(frozen=True)
class NetParams:
    """A net of ``pipeline/nets``; what a kind does not know is ignored by it."""

    kind: str = knob(
        "unet", "which net: ours, or a seed's, which knows width and nothing below", choices=NETS
    )
    width: int = knob(32, "channels at the finest level", low=8, high=1024)
    patch: int = knob(4, "side of the patches that the stem folds into channels", low=1, high=16)
    multipliers: list[int] = knob([1, 2], "width of each level, finest first", low=1, high=16)
    blocks: int = knob(2, "residual blocks a level", low=1, high=8)
    attention: list[int] = knob([8], "resolutions (in pixels) with self-attention", low=1)
    dropout: float = knob(0.0, "dropout inside the residual blocks", low=0, high=0.9)


@dataclass(frozen=True)
class ScheduleParams:
    """Constants of the noise schedules."""

    beta_start: float = knob(1e-4, "first beta of linear at T = 1000", low=1e-7, high=0.5)
    beta_end: float = knob(0.02, "last beta of linear at T = 1000", low=1e-6, high=0.999)
    rescale: bool = knob(True, "scale linear's betas by 1000 / T, so that any T ends in noise")
    sigma_min: float = knob(0.002, "least noise level of karras", low=1e-4, high=1)
    sigma_max: float = knob(80.0, "greatest noise level of karras", low=2, high=1000)
    mean: float = knob(-1.2, "mean of ln sigma in lognormal draws", low=-10, high=10)
    std: float = knob(1.2, "standard deviation of ln sigma in lognormal draws", low=0.01, high=10)


@dataclass(frozen=True)
class EngineParams:
    """How fast, not what: the levers of the training loop, each to be switched off alone."""

    compile: str = knob(
        "auto", "compile the step with torch.compile (auto: on CUDA)", choices=LEVERS
    )
    channels_last: str = knob(
        "auto", "pictures with channels innermost in memory (auto: where compiled)", choices=LEVERS
    )
    resident: str = knob(
        "auto",
        "whole data set in device memory (auto: where it takes at most half of it), else streamed",
        choices=LEVERS,
    )
    sdpa: bool = knob(True, "fused attention kernels")
    fused: bool = knob(True, "one kernel for all of AdamW's update")
    foreach: bool = knob(True, "weight averages updated all tensors at once")
    tf32: bool = knob(False, "TensorFloat-32 for what is computed in fp32 on CUDA")
    sync: bool = knob(False, "wait for the device after every step, as most loops do")
    aside: bool = knob(True, "sample grids drawn beside the training, not between its steps")


@dataclass(frozen=True)
class TrainParams:
    net: NetParams = field(default_factory=NetParams)
    objective: str = knob("x0", "what the net predicts", choices=OBJECTIVES)
    weighting: str = knob("min_snr", "weight of the loss by noise level", choices=WEIGHTINGS)
    timestep_draw: str = knob(
        "importance",
        "how often each noise level is drawn; the expected loss is the same",
        choices=DRAWS,
    )
    loss: str = knob("mse", "distance between prediction and target", choices=LOSSES)
    timesteps: int = knob(1000, "T of the forward process", low=10, high=100_000)
    schedule: ScheduleParams = field(default_factory=ScheduleParams)
    images: int = knob(48_000, "training budget: images seen", low=1)
    batch_size: int = knob(16, "images a step, over all devices", low=1, high=65_536)
    accumulate: int = knob(
        1, "parts a step is computed in, one after the other, to save memory", low=1, high=65_536
    )
    lr: float = knob(2e-3, "peak learning rate of AdamW", low=1e-8, high=1)
    warmup: float = knob(0.02, "share of the budget in which the rate rises", low=0, high=1)
    decay: float = knob(
        0.4, "share of the budget, at its end, in which it falls to 0", low=0, high=1
    )
    beta2: float = knob(0.999, "AdamW decay of the squared gradient", low=0.5, high=0.99999)
    weight_decay: float = knob(0.0, "AdamW weight decay", low=0, high=1)
    grad_clip: float = knob(1.0, "largest norm of the gradient", low=1e-6)
    label_dropout: float = knob(0.1, "share of images whose breed is hidden", low=0, high=1)
    flip: bool = knob(True, "mirror half of the images")
    vertical_flip: bool = knob(False, "turn half of the images upside down")
    rotate: bool = knob(False, "turn each image by 0, 90, 180 or 270 degrees")
    augment: float = knob(
        0.0, "probability of each non-leaking augmentation, told to the net", low=0, high=1
    )
    ema: float = knob(
        0.97, "decay of the weight average per step, after its ramp-up", low=0, high=0.999999
    )
    ema_lengths: list[float] = knob(
        [],
        "power-function averages kept beside, as shares of the run (0.05, 0.10)",
        low=0.01,
        high=0.25,
    )
    ema_snapshots: int = knob(
        0, "snapshots of each power-function average, to make others of afterwards", low=0, high=64
    )
    guide_at: float = knob(
        0.125,
        "share of the budget after which the guide of autoguidance is kept (0: none)",
        low=0,
        high=1,
    )
    skip_nonfinite: int = knob(
        0,
        "steps that may be left out because their loss or gradient is no number (0: stop at once)",
        low=0,
    )
    checkpoint_every: int = knob(8_000, "images between checkpoints", low=1)
    keep: int = knob(2, "checkpoints kept", low=1, high=1_000)
    sample_every: int = knob(12_000, "images between sample grids (0: only at the end)", low=0)
    grid: int = knob(6, "samples a breed in these grids", low=1, high=64)
    log_every: int = knob(800, "images between log lines", low=1)
    device: str = knob("auto", "where to train", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = knob(
        "auto",
        "arithmetic of the net (auto: bf16 on CUDA, else fp32)",
        choices=("auto", "fp32", "bf16"),
    )
    engine: EngineParams = field(default_factory=EngineParams)


@dataclass(frozen=True)
class EvaluateParams:
    samples: int = knob(192, "samples for the distances, spread over the breeds", low=2)
    grid: int = knob(8, "samples a breed in the picture", low=1, high=64)
    sampler: str = knob("heun", "solver", choices=SAMPLERS)
    steps: int = knob(18, "steps of the solver", low=1, high=100_000)
    variance: str = knob("posterior", "variance of ddpm's steps", choices=VARIANCES)
    eta: float = knob(0.0, "share of ddpm's noise in ddim's steps", low=0, high=1)
    guidance: float = knob(2.0, "strength of guidance (1: none)", low=0, high=50)
    guide: str = knob(
        "labels",
        "what guides: the model without labels, or an early snapshot of it (autoguidance)",
        choices=GUIDES,
    )
    batch_size: int = knob(64, "images sampled at once", low=1, high=65_536)
    neighbours: int = knob(
        16, "samples shown beside their nearest training images", low=1, high=256
    )
    seed: int = knob(0, "seed of the samples", low=0, high=2**31 - 1)
    inception: str | None = knob(
        None, "file with torch-fidelity's Inception weights, for FID and the like (null: none)"
    )
    inception_sha256: str | None = knob(None, "sha256 of that file")
    dinov2: str | None = knob(
        None, "file with DINOv2's weights, for distances on its features (null: none)"
    )
    dinov2_sha256: str | None = knob(None, "sha256 of that file")
    device: str = knob("auto", "where to sample", choices=("auto", "cpu", "cuda", "mps"))
    primary: str = knob("swd", "figure of metrics.json that decides which model is the champion")


@dataclass(frozen=True)
class TrackingParams:
    enabled: bool = knob(True, "record the run in MLflow")
    experiment: str = knob("dogs", "MLflow experiment")


@dataclass(frozen=True)
class Params:
    """params.yaml. ``seed`` and ``scheduler`` lie at the top: they are what experiments vary."""

    seed: int = knob(0, "seed of training: weights, noise, order, flips", low=0, high=2**31 - 1)
    scheduler: str = knob("linear", "noise schedule", choices=SCHEDULES)
    scrape: ScrapeParams = field(default_factory=ScrapeParams)
    dedupe: DedupeParams = field(default_factory=DedupeParams)
    resize: ResizeParams = field(default_factory=ResizeParams)
    train: TrainParams = field(default_factory=TrainParams)
    evaluate: EvaluateParams = field(default_factory=EvaluateParams)
    tracking: TrackingParams = field(default_factory=TrackingParams)

    def __post_init__(self) -> None:
        check_together(self)


# --------------------------------------------------------------------------- reading


def load(path: Path, overrides: Iterable[str] = ()) -> Params:
    """Read ``path``, apply ``key=value`` overrides, check everything.

    Raises:
        ParamsError: naming file, key, value and what is allowed.
    """
    document = read_document(path)
    origin: dict[str, str] = {}
    for text in overrides:
        key, value = parse_assignment(text)
        assign(document, key, value)
        origin[key] = "command line"
    return from_document(document, path.name, origin)


def from_document(
    document: dict[str, Any], name: str = "params.yaml", origin: dict[str, str] | None = None
) -> Params:
    """A checked ``Params`` from a plain mapping. Missing keys take their defaults."""
    try:
        return check_section(Params, document, "", name, origin or {})
    except ParamsError as error:
        text = str(error)
        if not text.startswith((name, "command line")):
            raise ParamsError(f"{name}: {text}") from None
        raise


def to_dict(section: Any) -> dict[str, Any]:
    """A section as plain nested values, ready for JSON."""
    return dataclasses.asdict(section)
