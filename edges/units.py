"""Import `vitals.units` under its former name."""

from vitals.units import UNITS as UNITS
from vitals.units import InvalidUnit as InvalidUnit
from vitals.units import agree as agree
from vitals.units import convert as convert
from vitals.units import find_unit as find_unit
from vitals.units import pair_of as pair_of
