import pytest

from jaxharmo.data.prepare.domains import domain_name, kernel_of


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (("Philips", "Brilliance16", ["B"]), "Philips Brilliance16 -- B"),
        (("SIEMENS ", "Sensation  10", ["B70f"]), "SIEMENS Sensation 10 -- B70f"),
        (("SIEMENS", "Force", ["Br40d", "3"]), "SIEMENS Force -- Br40d/3"),
        (
            ("GE\0 MEDICAL\x1b[31m", "Light\nSpeed", ["LUNG\t"]),
            "GE MEDICAL[31m Light Speed -- LUNG",
        ),
        (("", "", ["B30f"]), "B30f"),
        (("", "Force", ["", "Br40"]), "Force -- Br40"),
        (("SIEMENS", "Force", ["", " "]), ""),
        (("東芝", "<script>", ["../FC08"]), "東芝 <script> -- ../FC08"),
        (("x" * 100, "y", ["k" * 100]), f"{'x' * 64} y -- {'k' * 64}"),
    ],
)
def test_domain_names(values, name):
    assert domain_name(*values) == name


def test_kernel_of_a_domain():
    assert kernel_of("SIEMENS Force -- Br40d/3") == "Br40d/3"
    assert kernel_of("B30f") == "B30f"
