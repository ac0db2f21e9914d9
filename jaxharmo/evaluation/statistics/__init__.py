"""Statistics of tables of features: rows are images or patients, columns are features."""

from jaxharmo.evaluation.statistics.combat import Combat
from jaxharmo.evaluation.statistics.features import (
    SIGNIFICANCE,
    Comparison,
    KruskalWallis,
    compare,
    concordance,
    kruskal_wallis,
)
from jaxharmo.evaluation.statistics.multivariate import (
    Mmd,
    Permanova,
    domain_auc,
    frechet_radiomics_distance,
    mmd,
    permanova,
)
from jaxharmo.evaluation.statistics.resampling import Interval, cluster_bootstrap, patient_means

__all__ = [
    "SIGNIFICANCE",
    "Combat",
    "Comparison",
    "Interval",
    "KruskalWallis",
    "Mmd",
    "Permanova",
    "cluster_bootstrap",
    "compare",
    "concordance",
    "domain_auc",
    "frechet_radiomics_distance",
    "kruskal_wallis",
    "mmd",
    "patient_means",
    "permanova",
]
