"""Names and times of a de-identified export, its key, and the data dictionary."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sql.dictionary import reading_entries, rollup_entries
from sql.export.deidentify import Pseudonyms, read_key
from sql.export.formats import Format
from sql.export.readings import READINGS, Content, Rollup, Selection, entries, of_rollup
from sql.export.write_export import write_export
from vitals.errors import PermanentError
from vitals.signs import SIGNS

KEY = bytes(range(32))


def test_a_patient_has_the_same_name_and_shift_on_every_bed_and_in_each_spelling() -> None:
    first, second = Pseudonyms(KEY), Pseudonyms(KEY)
    assert first.patient("P-17") == second.patient("p-17")
    assert first.shift("bed-1", "P-17") == second.shift("bed-2", "p-17")


def test_names_and_shifts_depend_on_the_key_the_kind_and_the_name() -> None:
    own, other = Pseudonyms(KEY), Pseudonyms(bytes(32))
    assert own.patient("a") != other.patient("a")
    assert own.shift("bed-1", "a") != other.shift("bed-1", "a")
    assert len({own.patient("a")[2:], own.device("a")[2:], own.ward("a")[2:], own.patient("b")[2:]}) == 4
    assert own.shift("bed-1", None) != own.shift("bed-2", None)


def test_a_shift_is_a_whole_number_of_days_between_one_and_two_centuries() -> None:
    shifts = [Pseudonyms(KEY).shift("bed-1", f"p-{number}") for number in range(500)]
    assert all(shift % timedelta(days=1) == timedelta(0) for shift in shifts)
    assert timedelta(days=36_525) <= min(shifts) < max(shifts) < timedelta(days=2 * 36_525)
    assert len(set(shifts)) > 450


def test_a_key_is_created_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "key"
    key, is_new = read_key(path)
    assert (len(key), is_new, path.stat().st_mode & 0o777) == (32, True, 0o600)
    assert read_key(path) == (key, False)
    assert list(path.parent.iterdir()) == [path]


def test_a_key_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("00" * 32)
    path.chmod(0o640)
    with pytest.raises(PermanentError, match="other users of this machine can read the key"):
        read_key(path)
    path.chmod(0o600)
    for text in ("", "00" * 31, "secret", "é" * 32):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(PermanentError, match="is no key"):
            read_key(path)
    with pytest.raises(PermanentError, match="the key"):
        read_key(tmp_path)


def test_the_dictionary_has_unit_and_codes_of_every_sign() -> None:
    for sign in SIGNS:
        comment = reading_entries()[sign.key].comment
        assert comment == f"{sign.label}; unit {sign.unit}; LOINC {' '.join(sign.loinc)}; MDC {sign.mdc}"
        assert rollup_entries()[f"{sign.key}_avg"].comment.endswith(comment.partition(";")[2])


@pytest.mark.parametrize("deidentified", [False, True])
@pytest.mark.parametrize("content", [READINGS, of_rollup(Rollup.HOUR)])
def test_the_dictionary_of_an_export_has_its_columns_in_order(content: Content, deidentified: bool) -> None:
    found = entries(content, deidentified=deidentified)
    assert [entry.column for entry in found] == list(content.names(deidentified=deidentified))
    texts = " ".join(entry.description for entry in found)
    assert bool(re.search("keyed hash", texts)) == deidentified


def test_a_target_that_exists_is_refused_before_the_database_is_asked(tmp_path: Path) -> None:
    selection = Selection(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(tmp_path / "nothing")
    for target in (folder, link):
        with pytest.raises(PermanentError, match=f"^{target} exists; give a folder that does not$"):
            write_export("postgresql://", selection, READINGS, Format.CSV, target, None, lambda *_: None, print)
