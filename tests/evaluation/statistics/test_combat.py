import warnings

import numpy as np
import pandas
import pytest
from neuroCombat import neuroCombat
from scipy import stats

from jaxharmo.evaluation.statistics import Combat

SITE = np.repeat(["H", "S", "X"], [15, 22, 9])


def sites(features=20, seed=0):
    """Rows whose batches have shifts and scales, and that grow with age."""
    random = np.random.default_rng(seed)
    age = random.uniform(40, 80, len(SITE))
    rows = 0.05 * age[:, None] + random.normal(size=(len(SITE), features))
    for name, shift, scale in (("H", 2, 1.5), ("S", -1, 0.7), ("X", 0, 1)):
        part = name == SITE
        rows[part] = rows[part] * scale + shift + 0.3 * random.normal(size=features)
    return 10 + rows, age


@pytest.mark.parametrize("covariate", [False, True])
@pytest.mark.parametrize("reference", [None, "S"])
def test_equals_neurocombat(covariate, reference, monkeypatch):
    # It asks for a name that numpy 2 no longer has.
    monkeypatch.setattr(np, "int", int, raising=False)
    rows, age = sites()
    covars = pandas.DataFrame({"batch": SITE, "age": age})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = neuroCombat(
            rows.T,
            covars,
            "batch",
            continuous_cols=["age"] if covariate else None,
            ref_batch=reference,
        )["data"].T
    extra = age[:, None] if covariate else None
    found = Combat.fit(rows, SITE, extra, reference)(rows, SITE, extra)
    # It stops where its parameters change by less than 1e-4.
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_batches_no_longer_differ():
    rows, _ = sites(60)
    made = Combat.fit(rows, SITE)(rows, SITE)
    parts = [[table[name == SITE] for name in "HSX"] for table in (rows, made)]
    before, after = (stats.f_oneway(*part, axis=0).pvalue for part in parts)
    assert np.mean(before < 0.05) > 0.95
    assert np.mean(after < 0.05) < 0.05


def test_the_reference_stays_and_new_rows_follow_the_fit():
    rows, _ = sites()
    model = Combat.fit(rows, SITE, reference="S")
    kept = SITE == "S"
    np.testing.assert_allclose(model(rows, SITE)[kept], rows[kept])
    np.testing.assert_allclose(model(rows[:3], SITE[:3]), model(rows, SITE)[:3])


def test_wrong_use_is_refused():
    rows, _ = sites()
    with pytest.raises(ValueError, match="2 rows"):
        Combat.fit(rows[:16], SITE[:16])
    with pytest.raises(ValueError, match="no batch"):
        Combat.fit(rows, SITE, reference="Z")
    with pytest.raises(ValueError, match="confounded"):
        Combat.fit(rows, SITE, (SITE == "H")[:, None])
    with pytest.raises(ValueError, match="not fitted"):
        Combat.fit(rows, SITE)(rows[:1], np.array(["Z"]))
