"""Plans of countries that tests found."""

from pathlib import Path
from typing import Final

# The portal and ANIP, with 200 people: what tests of gateways and processes need, in a fraction of the time of all five.
TWO_MEMBERS: Final = (Path(__file__).parent / "two_members.toml").read_text(encoding="utf-8")
