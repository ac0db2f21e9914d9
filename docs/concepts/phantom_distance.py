"""Distances between the lungs of two domains: by files and names, and splits of the second."""

import sys
from pathlib import Path

import numpy as np
from scipy.stats import wasserstein_distance

from jaxharmo.data.manifest import choose_domains, read_manifest
from jaxharmo.data.shards import SliceSource
from jaxharmo.evaluation.features import tile_corners, tile_features
from jaxharmo.evaluation.fid import frechet_distance
from jaxharmo.evaluation.texture import (
    Spectrum,
    glcm_grids,
    grid_gap,
    log_spectral_distance,
    radial_power,
)
from jaxharmo.ops.tissue import segment

WINDOW = (-1024.0, 400.0)


def describe(shards, name, splits):
    """Features of lung tiles, HU of the lung, mean radial power, GLCM grids."""
    (domain,) = choose_domains(read_manifest(shards), (name,))
    tiles, lung, power, grids = [], [], [], []
    for item in (item for split in splits for item in SliceSource(shards, split, domain)):
        hu = np.clip(item.pixels.astype(np.float32), *WINDOW)
        tissue = segment(hu)
        if not tissue.lung.any():
            continue
        corners = tile_corners(tissue.lung, 128)
        tiles += [hu[row : row + 128, column : column + 128] for row, column in corners]
        lung.append(hu[tissue.core])
        power.append(radial_power(hu, item.header.spacing).power)
        grids.append(glcm_grids(hu[None], tissue.core[None], WINDOW))
    features = tile_features(np.stack(tiles), WINDOW)["texture"]
    spectrum = Spectrum(np.mean(power, 0), len(power))
    return features, np.concatenate(lung), spectrum, np.concatenate(grids)


if __name__ == "__main__":
    everything = ("train", "validation", "test")
    chosen = sys.argv[5:] or everything
    one = describe(Path(sys.argv[1]), sys.argv[2], everything)
    two = describe(Path(sys.argv[3]), sys.argv[4], chosen)
    measures = (frechet_distance, wasserstein_distance, log_spectral_distance, grid_gap)
    names = ("FD-Lite0 texture", "histogram, HU", "radial power, dB", "GLCM grid")
    for name, measure, *sides in zip(names, measures, one, two, strict=True):
        print(f"{name:18} {measure(*sides):8.2f}")
