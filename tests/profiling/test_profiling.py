"""The profiles: what they report, and that counts follow what is asked."""

import json

import jax
import pytest
from small import FILTER_ALONE, SMALL, TINY, replace

from jaxharmo.config import TextureConfig
from jaxharmo.data.manifest import choose_domains, read_manifest
from jaxharmo.models.networks import build
from jaxharmo.ops.glcm import PUBLISHED, GlcmConfig
from jaxharmo.profiling.glcm import forward_flops, profile_glcm
from jaxharmo.profiling.input import profile_input
from jaxharmo.profiling.step import profile_step
from jaxharmo.training import flops as network_flops


@pytest.fixture(autouse=True)
def quick_device(monkeypatch):
    monkeypatch.setattr("jaxharmo.profiling.timing._COPY_BYTES", 2**16)
    monkeypatch.setattr("jaxharmo.profiling.timing._MATMUL_SIDE", 64)


def test_glcm_profile_reports_what_the_docs_name():
    texture = TextureConfig(glcm=GlcmConfig(levels=16))
    figures = profile_glcm(texture, size=32, batch=2, repeats=2)
    low, high = figures["seconds_step_spread"]
    assert 0 < low <= figures["seconds_step"] <= high
    assert figures["bytes"] == 2 * 2 * 32 * 32 * 4
    assert figures["flops"] == 3 * 2 * forward_flops(texture, 32)
    assert figures["floor_seconds"] > 0
    assert figures["floor_fraction"] == pytest.approx(
        figures["floor_seconds"] / figures["seconds_step"]
    )
    assert json.loads(json.dumps(figures)) == figures


def test_counts_follow_what_is_asked():
    def count(*features, **options):
        return forward_flops(TextureConfig(glcm=GlcmConfig(**options), features=features), 32)

    pixels = 32 * 32
    # 6 operations a pixel and 10 a pair; 4 cells a pair, then 6 operations a cell of a matrix.
    assert count("contrast", levels=16) == pixels * (6 + 16 * 10)
    assert count("joint_energy", levels=16) == 16 * (8 * pixels + 6 * 16**2)
    assert count("contrast", levels=16, method="product") == 16 * (2 * pixels + 6) * 16**2
    wide = {"levels": 256, "binning": "gaussian", "sigma": 64.0}
    assert count("joint_energy", **wide) < 16 * 2 * 256**2 * pixels / 4


@pytest.mark.slow
def test_glcm_profile_compares_and_traces(tmp_path):
    texture = TextureConfig(glcm=PUBLISHED)
    figures = profile_glcm(
        texture, size=32, batch=1, repeats=1, dtype="bfloat16", compare=True, trace=tmp_path
    )
    assert figures["dtype"] == "bfloat16"
    assert figures["ratio_dense"] > 1
    assert figures["seconds_step_matrix"] > 0
    assert list(tmp_path.rglob("*.xplane.pb"))


def test_step_profile_counts_its_collectives_and_phases(tmp_path):
    model = FILTER_ALONE
    few_terms = dict.fromkeys(("texture", "diversity", "style", "cycle"), 0.0)
    config = replace(TINY, model=model, loss=few_terms)
    seen = []
    jax.monitoring.register_event_listener(lambda event, **_: seen.append(event))
    figures = profile_step(config, repeats=1, trace=tmp_path)
    # Compiled, and read from the cache.
    cached = [event.rpartition("/")[2] for event in seen if "/cache_" in event]
    assert cached[:2] == ["cache_misses", "cache_hits"]
    assert figures["devices"] == jax.device_count()
    assert set(figures["collectives"]) == {"all-reduce"}
    assert min(figures["seconds_compile_cached"], figures["seconds_compile"]) > 0
    assert figures["state_bytes"] < figures["peak_bytes"]
    assert figures["utilization"] == pytest.approx(
        figures["flops"]
        / figures["seconds_step"]
        / (figures["matmul_flops_per_second"] * figures["devices"])
    )
    updates = {"discriminator/latent", "generator/latent"}
    others = {"windowing, latents", "average", "optimizer", "input"}
    assert set(figures["milliseconds"]) == updates | others
    assert all(value > 0 for value in figures["milliseconds"].values())
    assert list(tmp_path.rglob("*.xplane.pb"))
    assert json.loads(json.dumps(figures)) == figures


def test_forward_flops_are_those_of_the_definition():
    """A convolution of 3×3 taps costs 2 · 9 · channels in · channels out a pixel."""
    config = replace(SMALL, model={"generator": TINY.model.generator, "width": 64, "max_width": 64})
    flops = network_flops.forward_flops(build(config), config)
    convolutions = 2 * 9 * 64 * 64 * 32 * 32 * 2 * 2
    assert flops["generator"] == pytest.approx(convolutions, rel=0.07)


def test_input_profile_tells_of_waiting(phantom, tmp_path):
    domains = choose_domains(read_manifest(phantom), ())
    figures = profile_input(phantom, domains, SMALL, batches=4, step_seconds=0.2, trace=tmp_path)
    assert figures["slices_per_second"] > 0
    # A sleep may take longer than asked.
    assert figures["seconds_step"] > 0.19
    assert 0 <= figures["waiting"] < 1
    assert list(tmp_path.rglob("*.xplane.pb"))
    assert json.loads(json.dumps(figures)) == figures
