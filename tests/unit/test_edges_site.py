"""The configuration of a site: its mistakes are named with their keys, and a place is never guessed."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edges.__main__ import app
from edges.config.places import Location, UnknownPlace, find_place
from edges.config.site import Site, read_site
from vitals.errors import PermanentError

SITE = """
zone = "Europe/Berlin"
[patients]
authority = ["HOSP", "MR"]
[[place]]
unit = "ICU"
bed = "4"
ward = "icu-1"
device = "icu-1-04"
[[place]]
equipment = "00A1B2"
ward = "icu-1"
device = "icu-1-05"
[[place]]
application = "SPOT"
ward = "icu-1"
device = "spot-1"
[[source]]
name = "gateway"
application = "GW"
codes = ["comen"]
no_value = [-100]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(folder: Path, text: str) -> list[str]:
    path = written(folder, text)
    with pytest.raises(PermanentError) as error:
        read_site(path)
    return [line.removeprefix(f"{path}: ") for line in str(error.value).splitlines()]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return read_site(written(tmp_path, SITE))


def test_every_mistake_is_named_with_its_key(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        'zone = "Mars/Olympus"\ncolour = 1\n[[place]]\nunit = "ICU"\nward = "a/b"\n'
        '[[source]]\nname = "x"\napplication = "y"\ncodes = ["acme"]\nclock = "sun"\n',
    )
    keys = ["zone ", "place 1, ward ", "place 1, device ", "source 1, codes ", "source 1, clock ", "colour "]
    assert len(found) == len(keys)
    assert all(line.startswith(key) for line, key in zip(found, keys, strict=True)), found
    assert "known are comen" in found[3]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zone = ", "is no TOML"),
        ('zone = "UTC"\n[[place]]\nward = "w"\ndevice = "d"', "states no place"),
        ('zone = "UTC"\n[[source]]\nname = "x"', "needs application"),
        (
            'zone = "UTC"\n[[place]]\nunit = "A"\nward = "w"\ndevice = "d"\n'
            '[[place]]\nunit = "A"\nward = "w"\ndevice = "e"',
            "place 2 states the same place as place 1",
        ),
        (
            'zone = "UTC"\n[[place]]\nunit = "A"\nward = "w"\ndevice = "d"\n'
            '[[place]]\nunit = "B"\nward = "v"\ndevice = "d"',
            "is in two wards",
        ),
    ],
)
def test_a_site_that_contradicts_itself_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    [line] = mistakes(tmp_path, text)
    assert expected in line


def test_a_place_is_found_by_bed_equipment_or_application(site: Site) -> None:
    bed = Location(unit="ICU", bed="4", location="ICU^^4", application="GW")
    assert find_place(site, bed).device == "icu-1-04"
    assert find_place(site, Location(equipment={"00A1B2", "X"})).device == "icu-1-05"
    assert find_place(site, Location(application="SPOT", location="^^")).device == "spot-1"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (Location(unit="ICU", bed="9", location="ICU^^9"), "no place of the site fits location = 'ICU^^9'"),
        (Location(unit="ICU", room="2", bed="4"), "no place of the site fits"),  # another room's bed 4
        (Location(application="SPOT", bed="7"), "no place of the site fits"),  # one of several beds of SPOT
        (Location(unit="ICU", bed="4", equipment={"00A1B2"}), "several places fit: icu-1/icu-1-04, icu-1/icu-1-05"),
        (Location(), "no place of the site fits nothing"),
    ],
)
def test_a_place_that_is_unknown_or_ambiguous_is_none(site: Site, location: Location, expected: str) -> None:
    with pytest.raises(UnknownPlace, match=re.escape(expected)):
        find_place(site, location)


def test_the_first_source_that_fits_applies(site: Site) -> None:
    assert site.find_source("GW", "X").name == "gateway"
    assert -100 in site.find_source("GW", "X").table.no_value
    other = site.find_source("OTHER", "X")
    assert (other.name, other.clock, -100 in other.table.no_value) == ("", "message", False)


def test_check_prints_what_the_site_has_and_exits_with_2_on_a_mistake(tmp_path: Path) -> None:
    path = written(tmp_path, SITE)
    done = CliRunner().invoke(app, ["check", str(path)])
    assert (done.exit_code, "3 places of 3 devices, 1 sources" in done.output) == (0, True)
    path.write_text("zone = 1")
    assert CliRunner().invoke(app, ["check", str(path)]).exit_code == 2
    assert CliRunner().invoke(app, ["check", str(tmp_path / "none.toml")]).exit_code == 2
