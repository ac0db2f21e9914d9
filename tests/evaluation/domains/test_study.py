"""From shards to a proposal that training takes."""

import contextlib
import csv
import dataclasses
import io
import json
import shutil

import pytest

from jaxharmo.commands.domains import Domains
from jaxharmo.commands.train import parse
from jaxharmo.data.manifest import choose_domains, read_manifest, write_manifest
from jaxharmo.data.phantom import PhantomConfig, make_phantom
from jaxharmo.data.prepare.collection import prepare
from jaxharmo.errors import InputError
from jaxharmo.evaluation.domains import StudyConfig, study_domains

FILES = {
    "associations.csv", "components.png", "definitions.csv", "domains.json", "factors.csv",
    "features.csv", "pairs.csv", "report.html", "units.csv",
}  # fmt: skip


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """A small collection: kernel and scanner matter, kVp and thickness are labels."""
    directory = tmp_path_factory.mktemp("collection")
    config = PhantomConfig(
        patients=12,
        slices=1,
        size=128,
        domains=(
            "PHANTOM Ellipse -- B30f",
            "PHANTOM Ellipse -- B70f",
            "MIRAGE Oval -- B",
            "MIRAGE Oval -- L",
        ),
        pairing="scanner",
        kvps=(100.0, 120.0),
        thicknesses=(1.25, 5.0),
    )
    make_phantom(directory, config)
    return directory


@pytest.fixture(scope="module")
def studied(collection, tmp_path_factory):
    """What the command said, and its folder."""
    output = tmp_path_factory.mktemp("study")
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        Domains(collection, output, StudyConfig(region="body")).run()
    return said.getvalue(), output


def test_kernel_and_scanner_come_before_labels(studied):
    effects = {row["factor"]: row for row in rows_of(studied[1] / "factors.csv")}
    ranks = {name: int(row["rank"]) for name, row in effects.items()}
    assert ranks["kernel"] == 1
    assert float(effects["kernel"]["p"]) < 0.01
    assert float(effects["model"]["p"]) < 0.05
    for label in ("kVp", "slice thickness"):
        assert ranks[label] > ranks["model"]
        assert float(effects[label]["p"]) > 0.05


def test_all_files_are_written(studied):
    output = studied[1]
    assert {path.name for path in output.iterdir()} == FILES
    units = rows_of(output / "units.csv")
    assert len({row["patient"] for row in units}) == 12
    assert len(rows_of(output / "pairs.csv")) == 6
    tested = {row["factor"] for row in rows_of(output / "features.csv")}
    assert {"kernel", "kVp"} <= tested
    page = (output / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page
    assert page.count("<section>") == page.count("</section>") == 8


def test_training_takes_the_proposal(studied, collection):
    content = json.loads((studied[1] / "domains.json").read_text())
    assert len(content["domains"]) == 4
    settings = parse(content["arguments"], "train").chosen.settings
    domains = choose_domains(read_manifest(collection), settings.data.domains)
    assert [domain.name for domain in domains] == content["domains"]


def test_the_command_tells_the_ranking(studied):
    said, output = studied
    assert "\n1. kernel: " in said
    assert "--data.domains 'PHANTOM Ellipse -- B30f'" in said
    assert f"{output / 'report.html'}\n" in said
    assert said.splitlines()[-1].startswith("next: jaxharmo train --config smoke --data ")


def test_hostile_names_are_escaped(phantom, tmp_path):
    shards = tmp_path / "shards"
    shutil.copytree(phantom, shards)
    manifest = read_manifest(shards)
    odd = "<script>alert(1)</script>$x_$ 你好"
    domains = [dataclasses.replace(d, name=f"{odd} -- {d.index}") for d in manifest.domains]
    series = {
        name: dataclasses.replace(each, model=odd, kernel=f"_{odd}{each.kernel}")
        for name, each in manifest.series.items()
    }
    write_manifest(
        shards, dataclasses.replace(manifest, domains=tuple(domains), series=series, paired=())
    )
    study_domains(shards, tmp_path / "out", StudyConfig(region="body"))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_wrong_use_is_told(phantom, tmp_path):
    for settings in ({"slices": -1}, {"min_patients": 0}, {"bin_width": 0.0}):
        with pytest.raises(InputError, match="--bin-width"):
            study_domains(phantom, tmp_path / "x", StudyConfig(**settings))
    with pytest.raises(InputError, match="jaxharmo prepare"):
        study_domains(tmp_path, tmp_path / "x")
    manifest = read_manifest(phantom)
    for fields, words in (
        ({"series": {}}, "prepare it again"),
        ({"domains": manifest.domains[:1]}, "one domain"),
    ):
        write_manifest(tmp_path, dataclasses.replace(manifest, **fields))
        with pytest.raises(InputError, match=words):
            study_domains(tmp_path, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_real_ct_puts_the_kernel_first(real_ct, tmp_path):
    prepare(real_ct, tmp_path / "shards", report=lambda line: None)
    study = study_domains(tmp_path / "shards", tmp_path / "study", StudyConfig(slices=6))
    assert study.effects[0].factor == "kernel"
    assert study.effects[0].rank == 1
    assert "lower bound" in study.effects[0].note
    ranked = [effect.factor for effect in study.effects if effect.rank]
    assert "model" not in ranked
    assert "3 patients" in study.proposal.warnings[0]


@pytest.mark.slow
@pytest.mark.parametrize(("pairing", "patients"), [("none", 60), ("scanner", 24)])
def test_known_factors_of_ten_domains(tmp_path, pairing, patients):
    config = PhantomConfig(
        patients=patients,
        slices=2,
        size=192,
        domains=("all",),
        pairing=pairing,
        kvps=(100.0, 120.0, 140.0),
        thicknesses=(1.25, 2.5, 5.0),
    )
    make_phantom(tmp_path / "shards", config)
    study = study_domains(tmp_path / "shards", tmp_path / "study")
    effects = {effect.factor: effect for effect in study.effects}
    assert study.effects[0].factor in ("kernel", "convolution class")
    assert effects["kernel"].p < 0.01
    assert effects["model"].p < 0.05
    assert effects["model"].same_as == ("exposure", "pixel spacing")
    for label in ("kVp", "slice thickness"):
        assert effects[label].rank > max(effects["kernel"].rank, effects["model"].rank)
        assert effects[label].p > 0.05
        assert abs(effects[label].effect) < 0.05
