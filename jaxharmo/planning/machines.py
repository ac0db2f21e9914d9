"""The machines that a plan is made for: a table of cards and TPUs, and their names."""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Literal

from jaxharmo.errors import InputError

GPUS_OF_A_MACHINE = 8
DEFAULT_GPU_SHARE = 0.75
"""Share of a GPU's memory that JAX allocates unless XLA_PYTHON_CLIENT_MEM_FRACTION is set
(docs.jax.dev, "GPU memory allocation")."""
_SHAPES_2D = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_SHAPES_3D = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpu:
    """What the compiler needs about a GPU, as its driver reports it."""

    description: str
    capability: tuple[int, int]
    """CUDA compute capability."""
    extended: bool = True
    """Whether instructions of this generation alone are used (sm_90a, sm_100a)."""
    cores: int
    """Streaming multiprocessors."""
    fpus: int = 128
    """Float32 units of one."""
    threads: int = 2048
    """Resident threads of one."""
    shared: int = 233_472
    """Shared memory of one, bytes."""
    shared_of_block: int = 232_448
    """Shared memory available to a block, bytes."""
    clock_ghz: float
    l2: int
    """Cache, bytes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """One GPU or TPU chip: peak figures of its vendor, without sparsity."""

    kind: Literal["cuda", "tpu"]
    memory: float
    """Bytes."""
    peaks: Mapping[str, float]
    """Operations a second of products, by the dtype of what is multiplied. float32 is what JAX does
    with it by default: TF32 on a GPU, one pass of bfloat16 on a TPU."""
    memory_rate: float
    """Bytes a second."""
    link_rate: float
    """Bytes a second that a device can send to the others of its machine or slice."""
    source: str
    gpu: Gpu | None = None
    shapes: tuple[str, ...] = ()
    """Slices of a TPU that can be had."""

    @property
    def share(self) -> float:
        """Of its memory, what a program can use."""
        return DEFAULT_GPU_SHARE if self.kind == "cuda" else 1.0


def _peaks(bfloat16: float, float32: float) -> dict[str, float]:
    return {"bfloat16": bfloat16, "float32": float32}


_A100 = Gpu(
    description="NVIDIA A100-SXM4-40GB",
    capability=(8, 0),
    extended=False,
    cores=108,
    fpus=64,
    shared=167_936,
    shared_of_block=166_912,
    clock_ghz=1.41,
    l2=41_943_040,
)
_H100 = Gpu(
    description="NVIDIA H100 80GB HBM3",
    capability=(9, 0),
    cores=132,
    clock_ghz=1.98,
    l2=52_428_800,
)

CARDS: Mapping[str, Card] = {
    "l4": Card(
        kind="cuda",
        memory=24e9,
        peaks=_peaks(121e12, 60e12),
        memory_rate=300e9,
        link_rate=32e9,
        source="NVIDIA L4 Tensor Core GPU, data sheet (link: PCIe Gen4 x16)",
        gpu=Gpu(
            description="NVIDIA L4",
            capability=(8, 9),
            extended=False,
            cores=58,
            threads=1536,
            shared=102_400,
            shared_of_block=101_376,
            clock_ghz=2.04,
            l2=50_331_648,
        ),
    ),
    "a100": Card(
        kind="cuda",
        memory=40e9,
        peaks=_peaks(312e12, 156e12),
        memory_rate=1555e9,
        link_rate=300e9,
        source="NVIDIA A100 Tensor Core GPU, data sheet, SXM 40 GB",
        gpu=_A100,
    ),
    "a100-80": Card(
        kind="cuda",
        memory=80e9,
        peaks=_peaks(312e12, 156e12),
        memory_rate=2039e9,
        link_rate=300e9,
        source="NVIDIA A100 Tensor Core GPU, data sheet, SXM 80 GB",
        gpu=dataclasses.replace(_A100, description="NVIDIA A100-SXM4-80GB"),
    ),
    "h100": Card(
        kind="cuda",
        memory=80e9,
        peaks=_peaks(989e12, 494e12),
        memory_rate=3350e9,
        link_rate=450e9,
        source="NVIDIA H100 Tensor Core GPU, data sheet, SXM",
        gpu=_H100,
    ),
    "h200": Card(
        kind="cuda",
        memory=141e9,
        peaks=_peaks(989e12, 494e12),
        memory_rate=4800e9,
        link_rate=450e9,
        source="NVIDIA H200 Tensor Core GPU, data sheet, SXM",
        gpu=dataclasses.replace(_H100, description="NVIDIA H200 141GB HBM3e"),
    ),
    "b200": Card(
        kind="cuda",
        memory=180e9,
        peaks=_peaks(2250e12, 1100e12),
        memory_rate=7700e9,
        link_rate=900e9,
        source="NVIDIA HGX B200, data sheet; memory rate as the driver reports it",
        gpu=Gpu(
            description="NVIDIA B200",
            capability=(10, 0),
            cores=148,
            clock_ghz=1.965,
            l2=132_644_864,
        ),
    ),
    "v5e": Card(
        kind="tpu",
        memory=16e9,
        peaks=_peaks(197e12, 197e12),
        memory_rate=819e9,
        link_rate=200e9,
        source="Google Cloud TPU documentation, TPU v5e",
        shapes=_SHAPES_2D,
    ),
    "v5p": Card(
        kind="tpu",
        memory=95e9,
        peaks=_peaks(459e12, 459e12),
        memory_rate=2765e9,
        link_rate=600e9,
        source="Google Cloud TPU documentation, TPU v5p",
        shapes=_SHAPES_3D,
    ),
    "v6e": Card(
        kind="tpu",
        memory=32e9,
        peaks=_peaks(918e12, 918e12),
        memory_rate=1600e9,
        link_rate=400e9,
        source="Google Cloud TPU documentation, TPU v6e",
        shapes=_SHAPES_2D,
    ),
}
"""By their names on the command line."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """Devices of one kind that make one run."""

    name: str
    card: Card
    shape: tuple[int, ...]
    """Chips of a TPU slice along its axes; the number of GPUs."""

    @property
    def devices(self) -> int:
        """GPUs or chips."""
        return math.prod(self.shape)


def find_machine(name: str) -> Machine:
    """The machine ``CARD:COUNT`` or ``TPU:SHAPE``; ``InputError`` that lists those that exist."""
    card_name, _, shape = name.partition(":")
    card = CARDS.get(card_name)
    if card is None:
        raise InputError(f"--on {name}: no such machine; there are {_all_machines()}")
    if card.kind == "tpu":
        known = shape in card.shapes
        choices = ", ".join(f"{card_name}:{one}" for one in card.shapes)
    else:
        known = bool(re.fullmatch("[1-9]", shape)) and int(shape) <= GPUS_OF_A_MACHINE
        choices = f"{card_name}:1 to {card_name}:{GPUS_OF_A_MACHINE}"
    if not known:
        raise InputError(f"--on {name}: no such machine; of {card_name} there are {choices}")
    return Machine(name, card, tuple(map(int, shape.split("x"))))


def _all_machines() -> str:
    gpus = [name for name, card in CARDS.items() if card.kind == "cuda"]
    tpus = [name for name, card in CARDS.items() if card.kind == "tpu"]
    return (
        f"{', '.join(gpus)}, each with :1 to :{GPUS_OF_A_MACHINE}, and {', '.join(tpus)}, "
        f"each with the shape of a slice, as in {tpus[0]}:2x4"
    )
