"""FD-Lite0 of texture between scanners with pixels of different sizes, at one size.

    python docs/scanner_distance.py MODEL SHARDS SPLIT

The report of an evaluation compares tiles at their own pixels, and another pixel is another
texture. So here, slices with the finer pixel are resampled to the coarser one of both, translations
like real slices. A row a direction: the distance of the source as it is from the real slices of the
target, and that of its translation.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np

import jaxharmo
from jaxharmo.data.coarsening import coarsened
from jaxharmo.data.manifest import choose_domains, read_manifest
from jaxharmo.data.prepare.domains import scanner_of
from jaxharmo.data.records import Slice
from jaxharmo.data.shards import SliceSource
from jaxharmo.evaluation.features import tile_corners, tile_features
from jaxharmo.evaluation.fid import frechet_distance
from jaxharmo.ops.tissue import segment

WINDOW = (-1024.0, 400.0)
TILE = 128


def features(slices: list[Slice], pixel: float) -> np.ndarray:
    """Of all tiles of the slices, none finer than ``pixel``, mm."""
    tiles = []
    for item in slices:
        hu = np.clip(coarsened(item, pixel).pixels.astype(np.float32), *WINDOW)
        corners = tile_corners(segment(hu).body, TILE)
        tiles += [hu[top : top + TILE, left : left + TILE] for top, left in corners]
    return tile_features(np.stack(tiles), WINDOW)["texture"]


def main() -> None:
    """Translate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("shards", type=Path)
    parser.add_argument("split", choices=("train", "validation", "test"))
    chosen = parser.parse_args()
    harmonizer = jaxharmo.load(chosen.model)
    domains = choose_domains(read_manifest(chosen.shards), harmonizer.domains)
    slices = {each.name: list(SliceSource(chosen.shards, chosen.split, each)) for each in domains}
    pixels = {
        name: float(np.mean([item.header.spacing for item in items]))
        for name, items in slices.items()
    }
    rows = []
    for of, to in itertools.permutations(slices, 2):
        if scanner_of(of) == scanner_of(to):
            continue
        pixel = max(pixels[of], pixels[to])
        made = [
            Slice(item.header, np.rint(harmonizer(item.pixels[None], pixels[of], to, of=of)[0]))
            for item in slices[of]
        ]
        real = features(slices[to], pixel)
        rows.append([frechet_distance(features(each, pixel), real) for each in (slices[of], made)])
        print(f"{of} → {to}: {rows[-1][0]:.1f} → {rows[-1][1]:.1f}", flush=True)
    before, after = np.mean(rows, 0)
    print(f"mean: {before:.1f} → {after:.1f}")


if __name__ == "__main__":
    main()
