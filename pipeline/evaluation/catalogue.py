"""What each metric means, for whoever reads a figure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.evaluation import copies, feature_distances

FLOOR = "_held_out"
LOCAL = "_local"
DINOV2 = "_dinov2"


@dataclass(frozen=True)
class Metric:
    """What a reader needs to judge a figure."""

    name: str
    title: str
    better: str  # "lower", "higher" or "near 1"
    meaning: str
    weights: bool = False  # measured only where a net's weights are at hand


_K = feature_distances.NEIGHBOURS
_FEATURES = "features of Inception"

_ON_FEATURES = (
    Metric(
        "kid",
        "Kernel distance",
        "lower",
        f"KID: maximum mean discrepancy of the {_FEATURES}, unbiased. Rises with whatever changes "
        "what the pictures show: noise, blur, missing breeds, repeats.",
    ),
    Metric(
        "mind",
        "Transport distance",
        "lower",
        f"MIND: sliced Wasserstein distance of the {_FEATURES}. As the kernel distance, with more "
        "weight on far-off pictures.",
    ),
    Metric(
        "precision",
        "Precision",
        "higher",
        f"Share of samples that lie among training pictures in the {_FEATURES}: within the "
        f"distance of one of them to its {_K} nearest. Low: samples look like nothing real.",
    ),
    Metric(
        "recall",
        "Recall",
        "higher",
        f"Share of training pictures that lie among samples in the {_FEATURES}. Low: whole kinds "
        "of pictures are never drawn.",
    ),
    Metric(
        "density",
        "Density",
        "near 1",
        f"How many training pictures' neighbourhoods a sample lies in, in the {_FEATURES}, "
        "relative to real pictures. As precision, but outliers count for less.",
    ),
    Metric(
        "coverage",
        "Coverage",
        "higher",
        f"Share of training pictures with a sample in their neighbourhood, in the {_FEATURES}. As "
        "recall, but one stray sample counts for less.",
    ),
    Metric(
        "authpct",
        "Authentic",
        "near 50",
        f"AuthPct: per cent of samples farther (in the {_FEATURES}) from the nearest training "
        "picture than that one is from its own nearest. About 50 for real pictures; near 0 the "
        "generator copies.",
    ),
    Metric(
        "ct",
        "Nearer than real ones",
        "near 0",
        f"C_T: z-score of the samples' distances (in the {_FEATURES}) to the training pictures "
        "against those of held-out real ones. Below -3 the generator copies; far above 0 it has "
        "not learnt enough.",
    ),
    Metric(
        "cosine",
        "Memorisation distance",
        "higher",
        f"Mean cosine distance (of the {_FEATURES}) to the nearest training picture, the distance "
        "in MiFID. 0 for copies.",
    ),
)


def _local(metric: Metric) -> Metric:
    """The same on the features of the pipeline's own net."""
    return replace(
        metric,
        name=metric.name + LOCAL,
        meaning=metric.meaning.replace(_FEATURES, "features of the pipeline's own net"),
    )


def _dinov2(metric: Metric) -> Metric:
    meaning = metric.meaning.replace(_FEATURES, "features of DINOv2")
    name, title = f"{metric.name}{DINOV2}", f"{metric.title} (DINOv2)"
    return replace(metric, name=name, title=title, meaning=meaning, weights=True)


def _inception(metric: Metric) -> Metric:
    return replace(metric, title=f"{metric.title} (Inception)", weights=True)


METRICS = (
    Metric(
        "swd",
        "Texture and shape",
        "lower",
        "Sliced Wasserstein distance between small patches of samples and of training pictures, "
        "at three scales. Noise, blur and broken shapes raise it.",
    ),
    Metric(
        "spectrum",
        "Sharpness",
        "lower",
        "Distance between the power spectra, in squared decibels: samples that are too smooth, "
        "too noisy or show a checkerboard raise it.",
    ),
    Metric(
        "colour",
        "Colour",
        "lower",
        "Distance between the distributions of colour and light, in thousandths of squared "
        "intensity. A cast, washed-out coats or too much contrast raise it.",
    ),
    *map(_local, _ON_FEATURES[:6]),
    Metric(
        "breed_accuracy",
        "Right breed",
        "higher",
        "Share of pictures in which a small classifier, trained on the training pictures only, "
        "recognises the asked breed.",
    ),
    Metric(
        "diversity",
        "Diversity",
        "near 1",
        "How much two samples of a breed differ, relative to two training pictures of it. Far "
        "below 1 the generator repeats itself.",
    ),
    Metric(
        "uniqueness",
        "No repeats",
        "near 1",
        "Distance from a sample to the most similar other sample of its breed, relative to "
        "training pictures. Near 0 the generator has a few pictures it always draws.",
    ),
    Metric(
        "copies",
        "Copies",
        "lower",
        f"Share of pictures that look like a training picture, mirrored or not: its pixels are at "
        f"most {copies.RATIO:g} times as far as those of the {copies.NEIGHBOURS} nearest on "
        f"average, or it is nearest and differs in at most {copies.HASH_BITS} of 64 bits of the "
        "perceptual hash.",
    ),
    *map(_local, _ON_FEATURES[6:]),
    Metric(
        "fid",
        "FID",
        "lower",
        "Fréchet distance of Gaussians fitted to the features of Inception (pictures enlarged to "
        "299 by TensorFlow 1's bilinear). Biased by the number of pictures: compare only at equal "
        "counts, and not below 2,048.",
        weights=True,
    ),
    *map(_inception, _ON_FEATURES),
    Metric(
        f"fd{DINOV2}",
        "Fréchet distance (DINOv2)",
        "lower",
        "As FID, on features of DINOv2 (pictures enlarged to 224, bicubic): closer to how people "
        "judge. Biased by the number of pictures as FID is.",
        weights=True,
    ),
    *map(_dinov2, _ON_FEATURES),
    Metric(
        "mifid",
        "MiFID",
        "lower",
        "FID, divided by the memorisation distance where that is below "
        "0.1: a generator that copies gets no good value.",
        weights=True,
    ),
)
