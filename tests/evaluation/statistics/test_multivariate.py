import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist, squareform

from jaxharmo.evaluation.fid import frechet_distance
from jaxharmo.evaluation.statistics import domain_auc, frechet_radiomics_distance, mmd, permanova


def domains(shift, patients=6, slices=4, features=7, seed=0, between=1.0):
    """Two domains of other patients, each of whom has an anatomy: rows, labels, patients."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(2 * patients), slices)
    label = np.where(patient < patients, "H", "S")
    anatomy = between * random.normal(size=(2 * patients, features))
    rows = anatomy[patient] + 0.3 * random.normal(size=(len(patient), features))
    return rows + shift * (label == "S")[:, None], label, patient


def distance_permanova(rows, labels):
    """R² and F from squared distances (Anderson 2001, equations 1 and 2)."""
    squared = squareform(pdist((rows - rows.mean(0)) / rows.std(0))) ** 2
    n, names = len(rows), np.unique(labels)
    total = squared.sum() / 2 / n
    within = sum(
        squared[np.ix_(labels == name, labels == name)].sum() / 2 / np.sum(labels == name)
        for name in names
    )
    f = ((total - within) / (len(names) - 1)) / (within / (n - len(names)))
    return (total - within) / total, f


def test_permanova_equals_the_formula_of_distances():
    rows, labels, _ = domains(0.5)
    found = permanova(rows, labels, permutations=9)
    assert (found.r2, found.f) == pytest.approx(distance_permanova(rows, labels))
    three = np.arange(len(rows)) % 3
    assert permanova(rows, three, permutations=9)[:2] == pytest.approx(
        distance_permanova(rows, three)
    )


def test_permanova_p_equals_all_permutations():
    rows, labels, _ = domains(0.6, patients=3, slices=1)
    observed = distance_permanova(rows, labels)[1]
    splits = itertools.combinations(range(6), 3)
    values = [distance_permanova(rows, np.isin(np.arange(6), split))[1] for split in splits]
    exact = np.mean(np.array(values) >= observed - 1e-9)
    assert permanova(rows, labels, permutations=4999).p == pytest.approx(exact, abs=0.03)


def test_slices_of_one_patient_are_no_evidence():
    # No difference of domains, but patients differ and have many slices each.
    naive, grouped = [], []
    for seed in range(40):
        rows, labels, patients = domains(0.0, 4, 12, 3, seed)
        naive.append(permanova(rows, labels, permutations=99).p)
        grouped.append(permanova(rows, labels, patients, permutations=99).p)
    assert np.mean(np.array(naive) < 0.05) > 0.6
    assert np.mean(np.array(grouped) < 0.05) < 0.2


def test_a_kernel_is_tested_within_patients():
    random = np.random.default_rng(1)
    patient = np.repeat(np.arange(8), 4)
    kernel = np.tile([0, 0, 1, 1], 8)
    rows = 5 * random.normal(size=(8, 3))[patient] + 0.3 * random.normal(size=(32, 3))
    rows += 0.5 * kernel[:, None]
    assert permanova(rows, kernel, patient, permutations=499).p > 0.2
    assert permanova(rows, kernel, patient, patient, permutations=499).p < 0.02


@pytest.mark.parametrize("seed", range(4))
def test_nothing_distinguishes_a_domain_from_itself(seed):
    rows, _, patient = domains(0, seed=seed)
    both, labels = np.concatenate([rows, rows]), np.repeat(["H", "S"], len(rows))
    whose = np.concatenate([patient, patient])
    found = permanova(both, labels, whose, whose, permutations=99)
    # All that is left between them is rounding, which no permutation should be judged by.
    assert found.p == 1
    distance = mmd(rows, rows, (patient, patient), (patient, patient), permutations=99)
    assert distance.p == 1


def test_permanova_without_an_answer():
    rows, labels, patients = domains(1.0, patients=2)
    assert np.isnan(permanova(rows, labels, patients, patients).p)
    with pytest.raises(ValueError, match="labels"):
        permanova(rows, np.zeros(len(rows)))
    gap = rows.copy()
    gap[3, 2] = np.nan
    kept = np.arange(len(rows)) != 3
    found = permanova(np.c_[gap, np.ones(len(rows))], labels, patients, permutations=9)
    assert found == permanova(rows[kept], labels[kept], patients[kept], permutations=9)


def literal_mmd(a, b):
    both = np.concatenate([a, b])
    a, b = (a - both.mean(0)) / both.std(0), (b - both.mean(0)) / both.std(0)
    scale = np.median(pdist(np.concatenate([a, b])) ** 2)
    k = [np.exp(-(cdist(*pair) ** 2) / 2 / scale) for pair in ((a, a), (b, b), (a, b))]
    n, m = len(a), len(b)
    unbiased = (k[0].sum() - n) / n / (n - 1) + (k[1].sum() - m) / m / (m - 1)
    return unbiased - 2 * k[2].mean()


def test_mmd_equals_its_formula_and_finds_differences():
    rows, labels, patients = domains(1.5)
    a, b = rows[labels == "H"], rows[labels == "S"]
    groups = patients[labels == "H"], patients[labels == "S"]
    found = mmd(a, b, groups, permutations=199)
    assert found.value == pytest.approx(literal_mmd(a, b))
    assert found.p < 0.05
    p = []
    for seed in range(40):
        rows, labels, _ = domains(0.0, seed=seed)
        p.append(mmd(rows[labels == "H"], rows[labels == "S"], groups, permutations=99).p)
    assert np.mean(np.array(p) < 0.05) < 0.2
    # Within patients, each a copy in both domains.
    assert mmd(b, b, (groups[1],) * 2, (groups[1],) * 2, permutations=199).p == 1
    assert np.isnan(mmd(a[:1], b).value)


def test_mmd_of_many_rows_is_that_of_some(monkeypatch):
    monkeypatch.setattr("jaxharmo.evaluation.statistics.multivariate._LARGEST", 10)
    rows, labels, whose = domains(0.5)
    a, b = rows[labels == "H"], rows[labels == "S"][:8]
    few = np.linspace(0, len(a) - 1, 10).round().astype(int)
    groups = whose[labels == "H"], whose[labels == "S"][:8]
    found = mmd(a, b, groups, permutations=99)
    assert found.value == pytest.approx(literal_mmd(a[few], b))
    assert found.p == mmd(a[few], b, (groups[0][few], groups[1]), permutations=99).p


def test_domains_are_told_apart_in_unseen_patients():
    far, labels, patients = domains(5.0)
    assert domain_auc(far, labels, patients) == 1
    # The patients' anatomy identifies the domain of slices, but not of patients left out.
    alike = [domain_auc(*domains(0.0, 5, 20, 6, seed)) for seed in range(6)]
    assert 0.35 < np.mean(alike) < 0.65


def test_three_domains_one_of_them_apart():
    random = np.random.default_rng(0)
    label, patient = np.repeat([0, 1, 2], 60), np.tile(np.arange(20), 9)
    rows = random.normal(size=(180, 4))
    rows[label == 2] += 4
    # One domain is separable; the others are told from the rest half of the time by chance.
    assert 0.75 < domain_auc(rows, label, patient) < 0.95
    # Paired patients stay in one fold.
    assert (
        domain_auc(np.r_[rows, rows], np.r_[label * 0, label * 0 + 1], np.r_[patient, patient])
        < 0.55
    )


def test_equal_domains_are_not_told_apart_and_nothing_is_warned_of():
    rows = np.random.default_rng(0).normal(size=(12, 42))
    patient = np.tile(np.repeat(np.arange(3), 4), 2)
    assert domain_auc(np.r_[rows, rows], np.repeat([0, 1], 12), patient) == 0.5


def test_auc_needs_two_patients_a_domain():
    rows, labels, patients = domains(1.0, patients=1)
    assert np.isnan(domain_auc(rows, labels, patients))
    assert np.isnan(domain_auc(rows, np.zeros(len(rows)), patients))


def test_radiomics_distance_in_spreads_of_the_target():
    rows, labels, _ = domains(1.0)
    a, b = rows[labels == "H"], rows[labels == "S"]
    scale = np.geomspace(1e-3, 1e6, 7)
    mean, spread = b.mean(0), b.std(0, ddof=1)
    expected = frechet_distance((a - mean) / spread, (b - mean) / spread)
    assert frechet_radiomics_distance(a * scale, b * scale) == pytest.approx(expected)
    assert frechet_radiomics_distance(b + 2 * spread, b) == pytest.approx(4 * 7)
    assert frechet_radiomics_distance(b, b) == pytest.approx(0, abs=1e-9)
    assert np.isnan(frechet_radiomics_distance(a[:1], b))
