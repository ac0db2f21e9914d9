"""The metrics of an evaluation: name, unit, direction and meaning.

The same table is used for metrics.json, the console, the report and comparisons.
"""

from typing import Literal, NamedTuple

Aim = Literal["low", "high", "zero", "half", "target", "ceiling"]
"""The best value: low, high, zero, one half, that of the target domain, or, for a comparison with
the source, the score of the paired real slice."""
Group = Literal["truth", "deep", "radiomics", "texture", "structure", "density"]


class Metric(NamedTuple):
    """A number that every method has for a pair of domains."""

    name: str
    group: Group
    title: str
    unit: str
    digits: int
    aim: Aim
    reading: str


_LITE0 = "features of EfficientNet-Lite0 on tiles; not the FID of Inception networks"
_ALIGNED = "share of radiomic features"

_ROWS: tuple[tuple[str, Group, str, str, int, Aim, str], ...] = (
    ("rmse_hu", "truth", "RMSE", "HU", 1, "low", "error against the paired real slice"),
    ("rmse_lung_hu", "truth", "RMSE, lung", "HU", 1, "low", "the same inside the lung"),
    ("ssim_truth", "truth", "SSIM to truth", "", 3, "high", "likeness to the real slice"),
    ("ccc_median", "truth", "CCC, median", "", 2, "high", "concordance of radiomic features"),
    ("ccc_share", "truth", "CCC > 0.85", "share", 2, "high", "reproducible radiomic features"),
    ("fd_lite0_texture", "deep", "FD-Lite0 texture", "", 1, "low", f"shallow {_LITE0}"),
    ("fd_lite0_semantic", "deep", "FD-Lite0 semantic", "", 1, "low", f"deep {_LITE0}"),
    ("kid_lite0_texture", "deep", "KID-Lite0 texture", "", 3, "low",
     f"unbiased; shallow {_LITE0}"),
    ("kid_lite0_semantic", "deep", "KID-Lite0 semantic", "", 3, "low",
     f"unbiased; deep {_LITE0}"),
    ("fid", "deep", "FID", "", 1, "low",
     "Fréchet distance in Inception features of whole slices"),
    ("kid", "deep", "KID", "", 4, "low",
     "kernel distance in Inception features of whole slices"),
    ("radiomics_significant", "radiomics", "Features that differ", "count", 0, "low",
     "Welch's t, false discovery rate 5 %; few slices hide differences"),
    ("radiomics_median_abs_g", "radiomics", "Median |Hedges g|", "SD", 2, "low",
     "size of the differences"),
    ("aligned_welch", "radiomics", "Aligned, Welch", "share", 2, "high",
     f"{_ALIGNED} with p ≥ 0.05, as published; flatters small samples"),
    ("aligned_fdr", "radiomics", "Aligned, FDR", "share", 2, "high",
     f"{_ALIGNED} with q ≥ 0.05"),
    ("aligned_ks", "radiomics", "Aligned, KS", "share", 2, "high",
     f"{_ALIGNED} whose distributions do not differ (Kolmogorov-Smirnov)"),
    ("aligned_effect", "radiomics", "Aligned, |g| < 0.2", "share", 2, "high",
     f"{_ALIGNED} with a negligible difference"),
    ("aligned_equivalence", "radiomics", "Equivalent (TOST)", "share", 2, "high",
     f"{_ALIGNED} shown to be equivalent within half a target SD"),
    ("wasserstein_sd", "radiomics", "Wasserstein, median", "SD", 2, "low",
     "distance of the distributions in target SDs"),
    ("domain_auc", "radiomics", "Domain AUC", "", 2, "half",
     "a classifier of the domains, in patients that it was not fitted on; 0.5 is chance"),
    ("mmd2", "radiomics", "MMD²", "", 3, "low", "maximum mean discrepancy of radiomics"),
    ("permanova_r2", "radiomics", "PERMANOVA R²", "", 3, "low",
     "share of the variance of radiomics that the domain explains"),
    ("frechet_radiomics", "radiomics", "Fréchet radiomics", "", 1, "low",
     "Fréchet distance of radiomics in target SDs"),
    ("radiomics_z", "radiomics", "Radiomics, per slice", "SD", 2, "low",
     "median distance of a slice's features from the target's mean, in target SDs"),
    ("glcm_gap", "texture", "GLCM grid gap", "", 3, "low",
     "mean |ln ratio| of the contrast at 4 angles × 4 distances; 0.1 is about 10 %"),
    ("power_gap", "texture", "Radial power gap", "dB", 2, "low",
     "root mean square difference of the radial power spectra"),
    ("noise_gap", "texture", "Noise power gap", "dB", 2, "low",
     "the same for the noise in uniform soft tissue"),
    ("lung_dice", "structure", "Lung Dice", "", 3, "ceiling",
     "overlap of the lung with the source's"),
    ("lung_iou", "structure", "Lung IoU", "", 3, "ceiling", "intersection over union"),
    ("lung_hd95_mm", "structure", "Lung HD95", "mm", 2, "ceiling",
     "border distance, 95th percentile"),
    ("edge_iou", "structure", "Edge IoU", "", 2, "ceiling", "Canny edges within a pixel"),
    ("edges", "structure", "Edge F", "", 2, "ceiling", "Canny edges, graded within a pixel"),
    ("edge_merit", "structure", "Pratt's FOM", "", 2, "ceiling", "figure of merit of edges"),
    ("edge_preservation", "structure", "EPI", "", 2, "ceiling", "edge preservation index"),
    ("ssim", "structure", "SSIM", "", 3, "ceiling", "structural similarity to the source"),
    ("shift_hu_lung", "structure", "Shift, lung", "HU", 1, "ceiling",
     "change of the mean in the lung"),
    ("shift_hu_soft_tissue", "structure", "Shift, soft tissue", "HU", 1, "ceiling",
     "change of the mean"),
    ("shift_hu_air", "structure", "Shift, air", "HU", 1, "ceiling",
     "change of the mean outside the body"),
    ("laa950", "density", "LAA-950", "%", 2, "target", "lung below −950 HU; a kernel moves it"),
    ("perc15", "density", "Perc15", "HU", 1, "target", "15th percentile of the lung"),
)  # fmt: skip
METRICS = tuple(Metric(*row) for row in _ROWS)
BY_NAME = {figure.name: figure for figure in METRICS}


def gain(figure: Metric, before: float, value: float, goal: float | None) -> float:
    """How much nearer to its aim ``value`` is than ``before``; negative if it is farther away.

    ``goal`` is the score of the paired real slice or of the target domain. NaN if it is needed and
    None.
    """
    if figure.aim in ("low", "high"):
        return before - value if figure.aim == "low" else value - before
    aims = {"zero": 0.0, "half": 0.5}
    aim = aims.get(figure.aim, goal)
    return float("nan") if aim is None else abs(before - aim) - abs(value - aim)
