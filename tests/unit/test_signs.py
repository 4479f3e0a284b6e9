"""The table of the signs against the published codes, the verdict, and that nothing else names the signs one by one."""

import re
from pathlib import Path

import pytest

from vitals.signs import BY_KEY, CRITICAL, NORMAL, SIGN_KEYS, SIGNS, classify

CHECKOUT = Path(__file__).resolve().parents[2]

# Typed in from LOINC and the vital signs profiles of HL7 FHIR R4 and US Core; from ISO/IEEE 11073-10101
# (MDC_ECG_HEART_RATE, MDC_PULS_OXIM_SAT_O2, MDC_TTHOR_RESP_RATE, MDC_TEMP_BODY, MDC_PRESS_BLD_NONINV_SYS and _DIA);
# and from UCUM.
PUBLISHED = {
    "heart_rate": (("8867-4",), 147842, "/min"),
    "spo2": (("2708-6", "59408-5"), 150456, "%"),
    "resp_rate": (("9279-1",), 151562, "/min"),
    "temperature": (("8310-5",), 150364, "Cel"),
    "systolic_bp": (("8480-6",), 150021, "mm[Hg]"),
    "diastolic_bp": (("8462-4",), 150022, "mm[Hg]"),
}


def test_the_codes_and_units_are_the_published_ones() -> None:
    assert {sign.key: (sign.loinc, sign.mdc, sign.unit) for sign in SIGNS} == PUBLISHED


@pytest.mark.parametrize("code", [code for sign in SIGNS for code in sign.loinc])
def test_every_loinc_code_has_its_check_digit(code: str) -> None:
    # LOINC's check digit is Luhn's (mod 10), so a slip of the finger in a new row is found without a network.
    digits = [int(digit) for digit in reversed(code.replace("-", ""))]
    doubled = [digit if place % 2 == 0 else sum(divmod(digit * 2, 10)) for place, digit in enumerate(digits)]
    assert sum(doubled) % 10 == 0


def test_keys_and_codes_name_one_sign_each() -> None:
    assert len(BY_KEY) == len(SIGNS)
    assert len({sign.mdc for sign in SIGNS}) == len(SIGNS)
    assert len({sign.short for sign in SIGNS}) == len(SIGNS)
    codes = [code for sign in SIGNS for code in sign.loinc]
    assert len(set(codes)) == len(codes)


def test_a_key_can_be_a_column_and_a_field() -> None:
    assert [key for key in SIGN_KEYS if not re.fullmatch(r"[a-z][a-z0-9_]*", key)] == []


def test_the_plausible_range_holds_the_critical_limits() -> None:
    for sign in SIGNS:
        assert sign.low < sign.high
        for limit in (sign.critical_below, sign.critical_above):
            assert limit is None or sign.low < limit < sign.high


def values(**signs: float) -> tuple[float | None, ...]:
    return tuple(signs.pop(key, None) for key in SIGN_KEYS)


@pytest.mark.parametrize(
    ("signs", "wanted"),
    [
        ({"heart_rate": 120}, NORMAL),
        ({"heart_rate": 120.5}, CRITICAL),
        ({"heart_rate": 121}, CRITICAL),
        ({"heart_rate": 0}, NORMAL),
        ({"spo2": 90}, NORMAL),
        ({"spo2": 89.9}, CRITICAL),
        ({"spo2": 89}, CRITICAL),
        ({"spo2": 0}, CRITICAL),
        ({"heart_rate": 121, "spo2": 98}, CRITICAL),
        ({"heart_rate": 80, "spo2": 89}, CRITICAL),
        ({"heart_rate": 120, "spo2": 90}, NORMAL),
        ({"resp_rate": 60, "temperature": 41, "systolic_bp": 250, "diastolic_bp": 150}, NORMAL),
        ({}, NORMAL),
    ],
)
def test_the_verdict(signs: dict[str, float], wanted: str) -> None:
    assert classify(values(**signs)) == wanted


# A published score (and the ages of its inputs) is defined for its own signs: a new sign does not change it. The same
# holds for the formats of others: recordings, and what edges read.
OF_OTHERS = {
    CHECKOUT / "vitals/news2.py",
    CHECKOUT / "vitals/thresholds.py",
    *(CHECKOUT / "vitals/recording").glob("*.py"),
}


def program_files() -> list[Path]:
    """The project's Python, without what may name signs: the table, devices, edges, and tests."""
    rooms = [folder for folder in CHECKOUT.iterdir() if folder.is_dir() and folder.name[0] != "."]
    named = [room for room in rooms if room.name not in ("devices", "edges", "tests", "bench")]
    return [
        path for room in named for path in room.rglob("*.py") if path not in {CHECKOUT / "vitals/signs.py", *OF_OTHERS}
    ]


def test_nothing_else_names_the_signs_one_by_one() -> None:
    files = program_files()
    assert {"vitals", "ingest", "sql", "stack"} <= {path.parent.name for path in files}
    name = re.compile(rf"\b(?:{'|'.join(SIGN_KEYS)})\b")
    found = [
        f"{path.relative_to(CHECKOUT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if name.search(line)
    ]
    assert found == []
