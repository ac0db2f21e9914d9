"""Units with known effects of factors, without images."""

import numpy as np

from jaxharmo.data.manifest import Acquisition
from jaxharmo.evaluation.domains.units import Units

FEATURES = 12


def units_of(series, patients, effects=(), *, patient=1.0, noise=0.3, seed=0, acquisitions=None):
    """Rows acquired as ``series``; ``effects`` holds (field, size) of factors that matter.

    A patient's rows share a part of size ``patient``.
    """
    random = np.random.default_rng(seed)

    def part(values, size):
        drawn = {value: random.normal(size=FEATURES) for value in sorted(set(values), key=str)}
        return size * np.array([drawn[value] for value in values])

    features = noise * random.normal(size=(len(series), FEATURES)) + part(patients, patient)
    for field, size in effects:
        features += part([getattr(each, field) for each in series], size)
    return Units(
        features=features,
        names=tuple(f"f{number}" for number in range(FEATURES)),
        patients=np.array(patients),
        acquisitions=np.array(patients if acquisitions is None else acquisitions),
        domains=np.array([f"{each.manufacturer} {each.model} -- {each.kernel}" for each in series]),
        series=tuple(series),
        slices=np.ones(len(series), int),
    )


def collection(count, *, paired, seed=0):
    """Patients of two scanners that share kernels; kVp and thickness are labels."""
    random = np.random.default_rng(seed)
    series, patients = [], []
    for number in range(count):
        scanner = ("X 1", "Y 2")[number % 2]
        kernels = ("B30f", "B50f", "B70f")
        for kernel in kernels if paired else [kernels[number // 2 % 3]]:
            manufacturer, model = scanner.split()
            series.append(
                Acquisition(manufacturer=manufacturer, model=model, kernel=kernel, kvp=0.0)
            )
            patients.append(f"p{number:03d}")
    kvp = {patient: random.choice([100.0, 120.0]) for patient in sorted(set(patients))}
    thickness = {patient: random.choice([1.0, 2.5, 5.0]) for patient in sorted(set(patients))}
    series = [
        Acquisition(
            manufacturer=each.manufacturer,
            model=each.model,
            kernel=each.kernel,
            kvp=float(kvp[patient]),
            slice_thickness=float(thickness[patient]),
        )
        for each, patient in zip(series, patients, strict=True)
    ]
    return series, patients
