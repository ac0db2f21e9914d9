"""The viewer of a pair of domains: source, translation, truth and the best baseline."""

from collections.abc import Sequence

from jaxharmo.evaluation.methods import AFTER, TITLES
from jaxharmo.evaluation.pairs import Shown
from jaxharmo.evaluation.slices import DomainSlices, spread
from jaxharmo.evaluation.summary import best_baseline
from jaxharmo.pages.slices import SliceStore
from jaxharmo.pages.viewer import Layer, Window, viewer

RESOLUTION = 2
"""Step of the stored HU. A grey level of the narrowest preset is 1.6 HU; noise hides the rest."""
_PIXELS = 2_000_000
"""Total of all slices in a page, before they are cropped to the body."""
_FEWEST, _MOST = 2, 12


def shown_slices(source: DomainSlices, directions: int) -> list[int]:
    """Numbers of the source slices in a viewer; the more ``directions``, the fewer."""
    rows, columns = source.shapes[source.chosen[0]]
    count = min(max(_PIXELS // (directions * rows * columns), _FEWEST), _MOST)
    picked = spread(len(source.chosen), min(count, len(source.chosen)))
    return [source.chosen[index] for index in picked]


def pair_viewer(
    shown: Sequence[Shown],
    scores: dict[str, dict],
    window: Sequence[float],
    store: SliceStore,
    still: str,
) -> str:
    """The viewer, with ``still`` where scripts do not run; ``scores`` as in metrics.json."""
    truths = [each.truth for each in shown if each.truth is not None]
    paired = len(truths) == len(shown)
    figure = "rmse_hu" if paired else "fd_lite0_texture"
    best = best_baseline(scores.get(figure, {}), figure)
    layers = {"source": [], "translated": []}
    layers |= {"truth": []} if paired else {}
    baseline = f"best baseline: {TITLES[best[0]]}" if best else ""
    layers |= {baseline: []} if best else {}
    for each in shown:
        real = [store.add(each.source)]
        layers["source"] += real
        if paired:
            assert each.truth is not None
            real.append(store.add(each.truth))
            layers["truth"] += real[1:]
        layers["translated"].append(store.add(each.made[AFTER], near=real))
        if best:
            near = [*real, layers["translated"][-1]]
            layers[baseline].append(store.add(each.made[best[0]], near=near))
    captions = [f"at {each.position:.0f} mm".replace("-", "−") for each in shown]
    model_window: Window = (window[0], window[1])
    named = [Layer(name, slices) for name, slices in layers.items()]
    return viewer(named, captions, model_window, shown[0].spacing, still)
