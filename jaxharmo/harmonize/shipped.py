"""The models that come with the package. To list them needs no network, and so no Flax."""

from pathlib import Path

from jaxharmo.errors import InputError

WEIGHTS_NAME = "weights.npz"
PRETRAINED = Path(__file__).parents[1] / "pretrained"


def shipped() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob(f"*/{WEIGHTS_NAME}"))


def card(name: str) -> str:
    """What a shipped model is for, in one line: the first paragraph of its README.md."""
    paragraphs = (PRETRAINED / name / "README.md").read_text(encoding="utf-8").split("\n\n")
    return " ".join(paragraphs[1].split())


def find_model(name: str | Path) -> Path:
    """The folder of a shipped model, or ``name`` itself where it is a folder.

    ``InputError`` lists the models that come with the package.
    """
    if str(name) in shipped():
        return PRETRAINED / str(name)
    if not Path(name).is_dir():
        raise InputError(
            f"no model '{name}': not a folder, and with the package come: "
            f"{', '.join(shipped()) or 'none'}"
        )
    return Path(name)
