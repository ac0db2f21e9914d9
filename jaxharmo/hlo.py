"""What a compiled program does, read from its text (XLA's HLO, ``compiled.as_text()``).

XLA has a count of its own, but not for programs compiled for a GPU that is absent, not of what a
library is called for (cuDNN, cuBLAS), and it takes a loop for one round.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
"""The collectives that are counted."""
_BITS = re.compile(r"[a-z]+(\d+)")
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\](\{[^}]*\})?")
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_CALLED = re.compile(
    r"\b(?:body|calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)"
    r"|branch_computations=\{([^}]*)\}"
)
_ROUNDS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_WINDOW = re.compile(r"window=\{([^}]*)\}")
_LABELS = re.compile(r"dim_labels=\w+_(\w+)->\w+")
_CONTRACTED = re.compile(r"lhs_contracting_dims=\{([\d,]*)\}")
_LIBRARY_CONVOLUTION = re.compile(r'custom_call_target="__cudnn\$conv(\w+)"')
_LIBRARY_PRODUCT = re.compile(r'custom_call_target="__cublas\$')
_ON_CHIP = "S(1)"
"""Layouts of arrays that a TPU keeps in its vector memory."""
_FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "call"),
    *("conditional", "after-all", "partition-id", "replica-id", "iota", "optimization-barrier"),
}
"""Move no data themselves."""
_ARITHMETIC = {
    *("add", "subtract", "multiply", "divide", "maximum", "minimum", "negate", "abs", "power"),
    *("exponential", "exponential-minus-one", "log", "log-plus-one", "logistic", "tanh", "sqrt"),
    *("rsqrt", "cbrt", "sine", "cosine", "erf", "remainder", "clamp", "reduce", "reduce-window"),
}
"""One operation an element of the largest array."""


class Collectives(NamedTuple):
    """The collectives of one kind."""

    count: int
    bytes: int
    """That a device gives into them."""


class Program(NamedTuple):
    """One call of a compiled program, on one device."""

    operations: float
    """Multiplications and additions of products and convolutions, and one an element of other
    arithmetic."""
    bytes: float
    """Read and written by the kernels: operands and results."""
    kernels: int
    """Started one by one."""
    collectives: dict[str, Collectives]
    """By kind, of those that occur."""


class _Instruction(NamedTuple):
    name: str
    type: str
    opcode: str
    operands: tuple[str, ...]
    attributes: str


def read_program(text: str) -> Program:
    """Count the operations, bytes and collectives of the HLO module ``text``.

    Bodies of loops count as often as they run where the compiler states it, else once; of branches,
    all count. Operations of kernels that are given as machine code (Pallas) are not known.
    """
    entry, computations = _computations(text)
    operations, moved, kernels = 0.0, 0.0, 0
    counts, sizes = Counter(), Counter()
    for name, times, fused in _visits(entry, computations):
        types = {instruction.name: instruction.type for instruction in computations[name]}
        for instruction in computations[name]:
            operands = [types.get(operand, "") for operand in instruction.operands]
            operations += times * _operations(instruction, operands)
            if not fused and _is_kernel(instruction.opcode):
                kernels += times
                moved += times * _bytes_moved(instruction, operands)
            kind = instruction.opcode.removesuffix("-start")
            if kind in KINDS:
                counts[kind] += times
                sizes[kind] += times * sum(map(_size, operands))
    found = {kind: Collectives(counts[kind], sizes[kind]) for kind in KINDS if counts[kind]}
    return Program(operations, moved, kernels, found)


def _computations(text: str) -> tuple[str, dict[str, list[_Instruction]]]:
    """Name of the one that is called, and the instructions of all by name."""
    found: dict[str, list[_Instruction]] = {}
    entry, current = "", []
    for line in text.splitlines():
        if match := _HEADER.match(line):
            current = found[match[2]] = []
            entry = match[2] if match[1] else entry
        elif match := _INSTRUCTION.match(line):
            current.append(_parse(match[1], match[2]))
    return entry, found


def _parse(name: str, definition: str) -> _Instruction:
    end = _end_of_group(definition, 0) if definition.startswith("(") else definition.index(" ")
    rest = definition[end:].lstrip()
    opening = rest.index("(")
    closing = _end_of_group(rest, opening)
    # Long tuples number their elements in comments.
    operands = tuple(re.findall(r"%([\w.\-]+)", rest[opening:closing]))
    return _Instruction(name, definition[:end], rest[:opening], operands, rest[closing:])


def _end_of_group(text: str, start: int) -> int:
    depth = 0
    for match in re.compile(r"[()]").finditer(text, start):
        depth += 1 if match[0] == "(" else -1
        if not depth:
            return match.end()
    return len(text)


def _visits(
    entry: str, computations: dict[str, list[_Instruction]]
) -> Iterator[tuple[str, int, bool]]:
    """Computations that run, how often, and whether inside a kernel."""
    waiting = [(entry, 1, False)] if entry else []
    while waiting:
        name, times, fused = waiting.pop()
        yield name, times, fused
        for instruction in computations[name]:
            if instruction.opcode not in ("while", "call", "conditional", "fusion", "async-start"):
                continue
            rounds = _ROUNDS.search(instruction.attributes)
            inside = fused or instruction.opcode == "fusion"
            for one, several in _CALLED.findall(instruction.attributes):
                for called in [one] if one else re.findall(r"[\w.\-]+", several):
                    waiting.append((called, times * int(rounds[1] if rounds else 1), inside))


def _arrays(kind: str) -> Iterator[tuple[int, float, bool]]:
    """Elements and bytes of the arrays of a type, and whether they lie on the chip."""
    for element, shape, layout in _ARRAY.findall(kind):
        bits = _BITS.match(element)
        count = math.prod(map(int, filter(None, shape.split(","))))
        yield count, count * (int(bits[1]) if bits else 8) / 8, _ON_CHIP in layout


def _elements(kind: str) -> int:
    return max((count for count, _, _ in _arrays(kind)), default=0)


def _size(kind: str) -> int:
    return round(sum(size for _, size, _ in _arrays(kind)))


def _is_kernel(opcode: str) -> bool:
    return opcode not in _FREE and not opcode.endswith("-done")


def _bytes_moved(instruction: _Instruction, operands: list[str]) -> float:
    opcode = instruction.opcode
    kinds = [instruction.type, *operands]
    if opcode in ("dynamic-slice", "slice", "gather"):
        kinds = [instruction.type, instruction.type]
    elif opcode in ("dynamic-update-slice", "scatter"):
        # In place: what is written, and what is read for it.
        kinds = [*operands[1:], *operands[1:]]
    elif opcode.endswith("-start"):
        # The result of a start names its operands again.
        kinds = [*operands, *operands]
    return sum(size for kind in kinds for _, size, on_chip in _arrays(kind) if not on_chip)


def _operations(instruction: _Instruction, operands: list[str]) -> float:
    if instruction.opcode in _ARITHMETIC:
        return max(map(_elements, [instruction.type, *operands]))
    if instruction.opcode == "convolution":
        return _convolution(instruction, instruction.type, operands[1])
    if instruction.opcode == "dot":
        return _product(instruction, operands[0])
    if instruction.opcode == "custom-call":
        return _library_call(instruction, operands)
    return 0.0


def _convolution(instruction: _Instruction, results: str, kernel: str) -> float:
    """2 · results · taps · input features; taps on the zeros of a spread input do not count."""
    labels = _LABELS.search(instruction.attributes)
    if not labels:
        return 0.0
    outputs = _shape(kernel)[labels[1].index("o")]
    window = _WINDOW.search(instruction.attributes)
    spread = re.search(r"lhs_dilate=([\dx]+)", window[1]) if window else None
    zeros = math.prod(map(int, spread[1].split("x"))) if spread else 1
    return 2 * _elements(results) * _elements(kernel) / outputs / zeros


def _product(instruction: _Instruction, first: str) -> float:
    contracted = _CONTRACTED.search(instruction.attributes)
    axes = [int(axis) for axis in contracted[1].split(",") if axis] if contracted else []
    return 2 * _elements(instruction.type) * math.prod(_shape(first)[axis] for axis in axes)


def _library_call(instruction: _Instruction, operands: list[str]) -> float:
    if convolution := _LIBRARY_CONVOLUTION.search(instruction.attributes):
        # In terms of the forward pass, whose labels gradients carry, too.
        if convolution[1] == "BackwardInput":
            return _convolution(instruction, operands[0], operands[1])
        if convolution[1] == "BackwardFilter":
            return _convolution(instruction, operands[1], _first_array(instruction.type))
        return _convolution(instruction, _first_array(instruction.type), operands[1])
    if _LIBRARY_PRODUCT.search(instruction.attributes):
        # Of matrices m k, k n and m n, a batch of b: (bmk · bkn · bmn)^½ = b^1.5 mkn.
        shape = _shape(_first_array(instruction.type))
        arrays = (*operands[:2], _first_array(instruction.type))
        batch = math.prod(shape[:-2])
        return 2 * math.sqrt(math.prod(map(_elements, arrays)) / batch)
    return 0.0


def _first_array(kind: str) -> str:
    match = _ARRAY.search(kind)
    return match[0] if match else ""


def _shape(kind: str) -> list[int]:
    match = _ARRAY.search(kind)
    return [int(length) for length in match[2].split(",") if length] if match else []
