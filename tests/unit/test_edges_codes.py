"""Codes and units: code and name have to agree, and what is unknown is not guessed."""

import pytest

from edges.config.code_tables import ALWAYS, CONSCIOUSNESS, Code, Contradiction, read_tables, table_names
from vitals.signs import BY_KEY, SIGNS
from vitals.units import UNITS, InvalidUnit, convert, find_unit

STANDARD = read_tables(())


def find(*parts: str, tables: tuple[str, ...] = ()) -> str | None:
    codes = [Code(*[*text.split("^"), "", ""][:3]) for text in parts]
    meaning = read_tables(tables).find(codes)
    return meaning.sign if meaning else None


def test_every_table_is_valid_and_names_signs_and_units_that_exist() -> None:
    assert set(ALWAYS) < set(table_names())
    for name in table_names():
        table = read_tables((name,))
        assert {meaning.sign for meaning in table.meanings} <= {*BY_KEY, CONSCIOUSNESS}
        assert set(table.units.values()) <= UNITS


@pytest.mark.parametrize("sign", SIGNS, ids=lambda sign: sign.key)
def test_the_codes_of_the_signs_table_are_known(sign: object) -> None:
    assert isinstance(sign, type(SIGNS[0]))
    assert [find(f"{code}^^LN") for code in sign.loinc] == [sign.key] * len(sign.loinc)
    assert find(f"{sign.mdc}^^MDC") == sign.key


@pytest.mark.parametrize(
    ("codes", "sign"),
    [
        (["147842^MDC_ECG_HEART_RATE^MDC"], "heart_rate"),
        (["147842^MDC_ECG_HEART_RATE"], "heart_rate"),
        (["^MDC_ECG_HEART_RATE^MDC"], "heart_rate"),
        (["8867-4"], "heart_rate"),
        (["8889-8^Heart rate by oximetry^LN", "149530^MDC_PULS_OXIM_PULS_RATE^MDC"], "heart_rate"),
        (["17^Local pulse^99ACME", "149530^MDC_PULS_OXIM_PULS_RATE^MDC"], "heart_rate"),
        (["2708-6^Oxygen saturation in arterial blood^LN"], "spo2"),
        (["0002-4BB8^SpO2^MDIL"], "spo2"),
        (["147842^Heart rate^MDC"], "heart_rate"),
        (["147842^MDC_ECG_HEART_RATE^ISO11073"], "heart_rate"),
        (["MDC_ECG_HEART_RATE"], "heart_rate"),
        (["MDC_ECG_HEART_RATE^147842^MDC"], "heart_rate"),
        (["tt-0005-09^MDC_TEMP^MDC"], "temperature"),
        (["150033^MDC_PRESS_BLD_ART_SYS^MDC"], "systolic_bp"),
        (["0002-4a16^ABPd^MDIL"], "diastolic_bp"),
        (["150017^MDC_PRESS_BLD_NONINV_SYS^MDC"], "systolic_bp"),
        (["149522^MDC_PULS_RATE^MDC"], "heart_rate"),
        (["0002^Pulse^MDIL"], "heart_rate"),
        (["0002-4822^Pulse^MDIL"], "heart_rate"),
        (["327680^SPO2_SPO2^EHC"], "spo2"),
        (["007000^VITAL SpO2"], "spo2"),
        (["1^MNDRY_EWS_LOC_AVPU^99MNDRY"], CONSCIOUSNESS),
        (["150045^MDC_PRESS_BLD_ART_PULM_SYS^MDC"], None),
        (["150017^MDC_PRESS_BLD_SYS^MDC"], None),
        (["149546^MDC_PULS_RATE_NON_INV^MDC"], None),
        (["150388^MDC_TEMP_SKIN^MDC"], None),
        (["151586^MDC_VENT_RESP_RATE^MDC"], None),
        (["0002^NBPm^MDIL"], None),
        (["327680^SpO2"], None),
        (["007000^SpO2"], None),
        (["147842^^99ACME"], None),
        (["HR"], None),
        (["^Temp"], None),
        (["19994-3^Oxygen setting^LN"], None),
        ([], None),
    ],
)
def test_a_code_means_a_sign_only_where_it_is_known(codes: list[str], sign: str | None) -> None:
    assert find(*codes) == sign


@pytest.mark.parametrize(
    "codes",
    [
        ["150456^MDC_AWAY_CO2_ET^MDC"],
        ["150456^MDC_ECG_HEART_RATE^MDC"],
        ["150017^MDC_PRESS_BLD_NONINV_DIA^MDC"],
        ["147842^PVC^MDC"],
        ["150456^SpO2 pulse rate^MDC"],
        ["150344^Skin temperature^MDC"],
        ["MDC_ECG_HEART_RATE^MDC_RESP_RATE^MDC"],
        ["MDC_ECG_HEART_RATE^150456^MDC"],
        ["0002-4bb8^etCO2^MDIL"],
        ["1478420^MDC_ECG_HEART_RATE^MDC"],
        ["1478420^MDC_ECG_HEART_RATE"],
        ["147842"],  # a number alone may be of any vendor
        ["8867-4^Heart rate variability^LN"],
        ["8480-6^Mean blood pressure^LN"],
        ["8310-5^Room temperature^LN"],
        ["8867-4^Heart rate^LN", "150456^MDC_PULS_OXIM_SAT_O2^MDC"],
        ["150456^MDC_PULS_OXIM_SAT_O2^MDC", "151708^MDC_AWAY_CO2_ET^MDC"],
        ["150456^MDC_PULS_OXIM_SAT_O2^MDC", "151708^MDC_AWAY_CO2_ET"],
        ["20564-1^Oxygen saturation in blood^LN", "150456^MDC_PULS_OXIM_SAT_O2^MDC"],
    ],
)
def test_codes_and_names_that_do_not_agree_are_a_contradiction(codes: list[str]) -> None:
    with pytest.raises(Contradiction):
        find(*codes)


@pytest.mark.parametrize(
    ("code", "table", "sign"),
    [
        ("HR", "ge_gateway", "heart_rate"),
        ("SPO2R", "ge_gateway", "heart_rate"),
        ("NIBP SYS", "labels", "systolic_bp"),
        ("^SpO2", "labels", "spo2"),
        ("40^HR", "comen_nc3a", "heart_rate"),
        ("150017^MDC_PRESS_BLD_SYS^MDC", "mdc_generic", "systolic_bp"),
        ("149546^MDC_PULS_RATE_NON_INV^MDC", "cuff_pulse", "heart_rate"),
    ],
)
def test_a_table_whose_codes_are_not_certain_applies_only_where_it_is_named(code: str, table: str, sign: str) -> None:
    assert (find(code), find(code, tables=(table,))) == (None, sign)


def unit_of(text: str) -> str:
    code, name, system = [*text.split("^"), "", ""][:3]
    return find_unit(code, name, system, {})


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("264864^MDC_DIM_BEAT_PER_MIN^MDC", "beat/min"),
        ("0004-0aa0^bpm^MDIL", "beat/min"),
        ("{beats}/min^beats per minute^UCUM", "beat/min"),
        ("/min^per minute, whatever^UCUM", "/min"),
        ("mm(hg)", "mm[Hg]"),
        ("mm[Hg]^mm[Hg]^UCUM", "mm[Hg]"),
        ("^MDC_DIM_DEGC", "Cel"),
        ("\udcb0C", "Cel"),
        ("262656^MDC_DIM_DIMLESS^MDC", "1"),
        ("beats/minute", "beat/min"),
    ],
)
def test_a_unit_is_known_by_code_and_name(text: str, unit: str) -> None:
    assert unit_of(text) == unit


@pytest.mark.parametrize(
    "text",
    ["", "furlong", "mmHg^Unit", "266016^MDC_DIM_KILO_PASCAL^MDC", "268160^MDC_DIM_FAHR^MDC", "262688^/min^MDC"],
)
def test_a_unit_that_is_unknown_or_contradicts_itself_is_refused(text: str) -> None:
    with pytest.raises(InvalidUnit):
        unit_of(text)


def test_values_are_converted_into_the_unit_of_the_sign_or_refused() -> None:
    assert convert(99.5, "[degF]", BY_KEY["temperature"]) == 37.5
    assert convert(16, "kPa", BY_KEY["systolic_bp"]) == 120
    assert convert(16, "hPa", BY_KEY["systolic_bp"]) == 12
    assert convert(163, "cm[H2O]", BY_KEY["systolic_bp"]) == 120
    assert convert(310.15, "K", BY_KEY["temperature"]) == 37
    assert convert(1.2, "Hz", BY_KEY["heart_rate"]) == 72
    assert convert(0.97, "1", BY_KEY["spo2"]) == 97
    assert convert(16, "breath/min", BY_KEY["resp_rate"]) == 16
    for value, unit, key in [(16, "breath/min", "heart_rate"), (35, "mm[Hg]", "spo2"), (97, "/min", "spo2")]:
        with pytest.raises(InvalidUnit):
            convert(value, unit, BY_KEY[key])
