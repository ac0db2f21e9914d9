"""The phantom's patients: size, shape and disease, which all organs follow."""

import dataclasses

import numpy as np

HEALTHY = 0.6
"""Share of patients without emphysema."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patient:
    """What differs between patients; lengths in mm. Depth is from front to back."""

    key: tuple[int, int]
    """Seed of everything that is drawn for the patient."""
    width: float
    """Half the width of the body."""
    depth: float
    """Half the depth of the body."""
    fat: float
    """Thickness of the subcutaneous fat."""
    breast: float
    """How far the breasts stand out; 0 where fat and muscle follow the chest."""
    lung_height: float
    """From the apex of the lungs to the lowest recess behind the diaphragm."""
    lung_hu: float
    """Parenchyma half way between front and back."""
    heart: float
    """Size of heart and vessels, 1 is usual."""
    turn: float
    """How far the heart's long axis is turned to the left, radians."""
    outline: tuple[float, float, float]
    """Amplitudes of the deviations of the body's outline from a superellipse, shares."""
    bone_hu: float
    """Marrow of the vertebrae."""
    emphysema: float
    """Share of the lung that is destroyed; 0 in the healthy."""

    @property
    def chest(self) -> tuple[float, float]:
        """Half the width and depth of the space within the ribs, where it is widest."""
        return self.width - self.fat - 16, self.depth - 0.6 * self.fat - 13

    @property
    def spine(self) -> float:
        """Where the middle of the vertebral bodies is along y."""
        return 0.40 * self.depth


def draw_patient(key: tuple[int, int]) -> Patient:
    """The patient with the seed ``key``."""
    random = np.random.default_rng(key)
    return Patient(
        key=key,
        width=random.uniform(132, 150),
        depth=random.uniform(94, 112),
        fat=random.uniform(7, 20),
        breast=(random.uniform() < 0.5) * random.uniform(10, 24),
        lung_height=random.uniform(215, 260),
        lung_hu=random.uniform(-870, -810),
        heart=random.uniform(0.9, 1.1),
        turn=random.uniform(0.45, 0.85),
        outline=(*random.normal(0, 0.008, 3).tolist(),),
        bone_hu=random.uniform(120, 210),
        emphysema=(random.uniform() > HEALTHY) * random.uniform(0.04, 0.35),
    )
