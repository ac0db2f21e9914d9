"""The figures of a plan, to be read."""

from collections.abc import Iterator

_LARGE = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
_LONG = (("days", 86_400), ("hours", 3600), ("min", 60), ("s", 1), ("ms", 1e-3))


def lines(figures: dict) -> Iterator[str]:
    """What ``plan`` found, a line a fact."""
    yield (
        f"{figures['machine']}: {figures['devices']} × {figures['device_kind']}, "
        f"batch {figures['batch']}, crop {figures['crop']}²"
    )
    yield from _step(figures)
    for name, changed in figures.get("variants", {}).items():
        yield f"with {name}: {_difference(changed, figures)}"
    if "largest_batch" in figures:
        largest = figures["largest_batch"]
        yield f"largest batch: {largest or 'none fits'}"
    yield f"peak figures: {figures['source_of_peaks']}; jax {figures['jax']}, {figures['jaxlib']}"
    for warning in figures.get("warnings", ()):
        yield f"warning: {warning}"


def _step(figures: dict) -> Iterator[str]:
    yield f"{_fits(figures)} a device, of {size(figures['usable_bytes'])} that JAX can use"
    if "estimate" not in figures:
        return
    yield (
        f"memory: arguments {size(figures['argument_bytes'])}, temporaries "
        f"{size(figures['temporary_bytes'])}, result {size(figures['result_bytes'])} "
        "(takes the arguments' place)"
    )
    yield (
        f"a step, each device: {figures['operations']:.3g} operations "
        f"({figures['operations_counted']:.3g} in its networks), "
        f"{size(figures['bytes_moved'])} moved, "
        f"{figures['kernels']:,} kernels, {figures['compute_dtype']}"
    )
    yield f"collectives: {collectives(figures['collectives'])}"
    yield (
        f"compiled in {figures['seconds_compile']:.0f} s "
        f"({figures['seconds_cpu']:.0f} s of CPU time)"
    )
    at_best = figures["estimate"]
    yield (
        f"estimate, not measured: a step takes at least {duration(at_best['seconds_step'])} "
        f"(compute {duration(at_best['seconds_compute'])}, memory "
        f"{duration(at_best['seconds_memory'])}, links {duration(at_best['seconds_links'])})"
    )
    yield (
        f"estimate, not measured: {figures['steps']:,} steps take at least "
        f"{duration(at_best['days'] * 86_400)}, {at_best['device_hours']:,.2f} device hours"
    )


def _fits(figures: dict) -> str:
    peak = figures["peak_bytes"]
    needs = size(peak) if peak else "more"
    if figures["fits"]:
        return f"fits: needs {needs}"
    # Of a compiler that gave up, the first allocation that was too large.
    return f"DOES NOT FIT: needs {'' if 'estimate' in figures else 'at least '}{needs}"


def _difference(changed: dict, figures: dict) -> str:
    found = [_fits(changed)]
    if changed["peak_bytes"] and figures["peak_bytes"]:
        found.append(f"{changed['peak_bytes'] / figures['peak_bytes'] - 1:+.0%}")
    if "estimate" in changed:
        seconds = changed["estimate"]["seconds_step"]
        found.append(f"estimate {duration(seconds)} a step")
        found.append(f"collectives {collectives(changed['collectives'])}")
    return ", ".join(found)


def collectives(found: dict) -> str:
    """Count and bytes of each kind."""
    return (
        " and ".join(f"{one['count']} {kind} ({size(one['bytes'])})" for kind, one in found.items())
        or "none"
    )


def size(count: float) -> str:
    """Bytes, in a unit that suits."""
    return _in_units(count, _LARGE)


def duration(seconds: float) -> str:
    """Seconds, in a unit that suits."""
    return _in_units(seconds, _LONG)


def _in_units(value: float, units: tuple[tuple[str, float], ...]) -> str:
    """Three digits in the largest unit that leaves at least 1, or the smallest there is."""
    name, unit = next((pair for pair in units if value >= pair[1]), units[-1])
    return f"{float(f'{value / unit:.3g}'):,g} {name}"
