"""Convert values into the units of `vitals.signs`, or state why not. Code and name of a unit have to agree."""

import re
from collections.abc import Callable, Mapping

from vitals.signs import Sign

_SYNONYMS = {
    # code of MDC, Philips MDIL, name of MDC, UCUM, and what senders write
    "beat/min": "264864 0004-0aa0 mdc_dim_beat_per_min {beat}/min {beats}/min /min{beats} beat/min beats/min "
    "beats_per_minute beats/minute beat/minute {pulse}/min pulses/min pulse/min "
    "schläge/min schläge_pro_minute bat/min bat./min "
    "batt/min batt./min battements/min latidos/min lpm battiti/min slagen/min slag/min "
    "uderzeń/min ud/min ud./min уд/мин уд./мин уд.в_мин. уд._в_мин. ударов/мин atım/dk 拍/分",
    "breath/min": "264928 0004-0ae0 mdc_dim_resp_per_min {breath}/min {breaths}/min {resp}/min breath/min breaths/min "
    "rpm br/min resp/min brpm breaths_per_minute breaths/minute breath/minute cycles/min atti/min atemzüge/min "
    "oddechów/min дых/мин дых./мин soluk/dk",
    "/min": "264672 0004-09e0 mdc_dim_per_min /min 1/min bpm pm min-1 min⁻¹ /minute per_minute per_min #/min x/min "
    "b/min /мин 1/мин в_мин в_мин. /dk 次/分 次/分钟 次/分鐘 次/min 回/分 回/min",
    "Hz": "264640 mdc_dim_hz hz",
    "%": "262688 0004-0220 mdc_dim_percent % percent pct prozent",
    "1": "262656 0004-0200 mdc_dim_dimless 1 {fraction} fraction",
    "Cel": "268192 0004-17a0 mdc_dim_degc cel degc c °c ºc ℃ oc deg_c deg.c degrees_c celsius degrees_celsius "
    "°с град.с 摄氏度 "
    "\udcb0c \udca1\udce6 â°c",  # the sign for degrees in Latin-1, in GB 18030 without MSH-18, and UTF-8 as Latin-1
    "[degF]": "266560 0004-1140 mdc_dim_fahr [degf] degf f °f ºf ℉ of deg_f deg.f degrees_f fahrenheit "
    "degrees_fahrenheit \udcb0f â°f",
    "K": "k kelvin",
    "mm[Hg]": "266016 0004-0f20 mdc_dim_mmhg mm[hg] mmhg mm(hg) mm_hg mm-hg torr "
    "мм_рт.ст. мм_рт._ст. мм.рт.ст. мм_рт.ст мм_рт_ст mm_słupa_rtęci 毫米汞柱",
    "kPa": "265987 0004-0f03 mdc_dim_kilo_pascal kpa",
    "hPa": "hpa mbar",
    "cm[H2O]": "266048 mdc_dim_cm_h2o cm[h2o] cmh2o",
}
_UNITS = {text: unit for unit, texts in _SYNONYMS.items() for text in texts.split()}
UNITS = frozenset(_SYNONYMS)
_COUNTED = {"beat/min": 147842, "breath/min": 151562}  # unit -> MDC code of the only sign that has it
_CONVERSIONS: dict[tuple[str, str], Callable[[float], float]] = {
    ("[degF]", "Cel"): lambda value: (value - 32) * 5 / 9,
    ("K", "Cel"): lambda value: value - 273.15,
    ("kPa", "mm[Hg]"): lambda value: value * 7.500617,
    ("hPa", "mm[Hg]"): lambda value: value * 0.7500617,
    ("cm[H2O]", "mm[Hg]"): lambda value: value * 0.735559,
    ("Hz", "/min"): lambda value: value * 60,
    ("1", "%"): lambda value: value * 100,
}


class InvalidUnit(ValueError):
    """A unit that is unknown, contradicts itself or does not fit the sign; the text is one sentence."""


def find_unit(code: str, name: str, system: str, own: Mapping[tuple[str, str], str]) -> str:
    """Return the unit of a CWE element such as OBX-6; raises InvalidUnit.

    own   pairs of code and name that a vendor's table defines, by their normal form
    """
    pair = (_normal(code), _normal(name))
    if pair in own:
        return own[pair]
    if system.upper() == "UCUM" and "{" in pair[0] and pair[0] not in _UNITS:
        pair = re.sub(r"\{[^{}]*\}", "", pair[0]) or "1", pair[1]  # an annotation does not change a unit of UCUM
    known = [_UNITS.get(text) for text in pair if text]
    if not known:
        raise InvalidUnit("no unit")
    free_text = system.upper() == "UCUM" and known[0] is not None  # the name of a UCUM unit is free text
    if None in known and not free_text:
        raise InvalidUnit(f"the unit {f'{code}^{name}'.strip('^')[:60]!a} is unknown")
    units = {unit for unit in known if unit}
    first, *others = units
    agreed = agree(first, others[0]) if others else first
    if agreed is None:
        raise InvalidUnit(f"code and name of the unit {f'{code}^{name}'[:60]!a} do not agree")
    return agreed


def agree(first: str, second: str) -> str | None:
    """Return the more exact one of two statements of a unit, None if they are different units."""
    if first == second or (second == "/min" and first in _COUNTED):
        return first
    return second if first == "/min" and second in _COUNTED else None


def convert(value: float, unit: str, sign: Sign) -> float:
    """Return `value` in the unit of the sign; raises InvalidUnit."""
    if unit in _COUNTED:
        if _COUNTED[unit] != sign.mdc:
            raise InvalidUnit(f"{sign.key} cannot have the unit {unit}")
        unit = "/min"
    if unit == sign.unit:
        return value
    conversion = _CONVERSIONS.get((unit, sign.unit))
    if conversion is None:
        raise InvalidUnit(f"{sign.key} cannot have the unit {unit}")
    return round(conversion(value), sign.decimals)


def pair_of(code: str, name: str) -> tuple[str, str]:
    """Return the normal form of a pair of code and name."""
    return _normal(code), _normal(name)


def _normal(text: str) -> str:
    return "_".join(re.sub(r"\s*/\s*", "/", text).casefold().split())
