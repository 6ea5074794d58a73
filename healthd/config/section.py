"""What all tables of config.toml have in common. Pure."""

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Names of nodes, sources and publications: they become file names, labels and parts of URLs."""


class Section(BaseModel):
    """One table: frozen, without unknown keys, and silent about values that may be secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def faults_between(*found: tuple[str, str]) -> PydanticCustomError:
    """Faults between keys of one section: each key, and what is wrong with it."""
    return PydanticCustomError("healthd", "several keys do not fit together", {"found": found})
