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


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (("Siemens Healthineers", "Force", ["b70F"]), "SIEMENS Force -- B70f"),
        (("SIEMENS", "Force", ["BR40D", "3"]), "SIEMENS Force -- Br40d/3"),
        (("siemens", "Force", ["Quantitative"]), "SIEMENS Force -- Quantitative"),
        (
            ("GE Healthcare", "LightSpeed VCT", ["Standard"]),
            "GE MEDICAL SYSTEMS LightSpeed VCT -- STANDARD",
        ),
        (("G.E. Medical Systems", "VCT", ["Lung"]), "G.E. Medical Systems VCT -- Lung"),
        (("Philips Medical Systems", "iCT", ["b"]), "Philips iCT -- B"),
        (("TOSHIBA_MEC", "Aquilion", ["fc 08"]), "TOSHIBA Aquilion -- FC08"),
        (("CANON_MEC", "Aquilion ONE", ["FC08-h"]), "Canon Aquilion ONE -- FC08-H"),
        (("Canon", "Aquilion ONE", ["Body Std"]), "Canon Aquilion ONE -- Body Std"),
        (("Acme", "One", ["Soft", "soft"]), "Acme One -- Soft/soft"),
    ],
)
def test_one_spelling_a_vendor_and_a_kernel(values, name):
    assert domain_name(*values) == name
    assert domain_name(*values, by="kernel") == kernel_of(name)


def test_a_domain_without_the_model():
    values = ("Siemens", "Force", ["B30f"])
    assert domain_name(*values, by="manufacturer-kernel") == "SIEMENS -- B30f"


def test_kernel_of_a_domain():
    assert kernel_of("SIEMENS Force -- Br40d/3") == "Br40d/3"
    assert kernel_of("B30f") == "B30f"
