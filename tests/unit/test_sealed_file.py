"""The encrypted file of a backup, and what is reported of a file that is not an intact backup."""

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stack import sealed_file
from stack.archive import MANIFEST, members, pack, parts, read_manifest
from stack.sealed_file import seal, unseal
from vitals.errors import PermanentError

WORD = b"a-word-that-is-long-enough"


@pytest.fixture(autouse=True)
def cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_file, "SCRYPT_N", 2)


def sealed(*chunks: bytes) -> bytes:
    file = io.BytesIO()
    seal(iter(chunks), file, WORD)
    return file.getvalue()


def opened(content: bytes, word: bytes = WORD) -> bytes:
    with unseal(io.BufferedReader(io.BytesIO(content)), word, "the file") as inside:
        return inside.read()


@pytest.mark.parametrize("chunks", [[], [b""], [b"one", b"", b"two"], [bytes(65536)] * 3, [bytes(3_000_000)]])
def test_what_was_written_is_read_back(chunks: list[bytes]) -> None:
    assert opened(sealed(*chunks)) == b"".join(chunks)


@pytest.mark.parametrize("cut", [1, 16, 65_536, 65_552, 150_000])
def test_a_truncated_file_is_refused(cut: int) -> None:
    with pytest.raises(PermanentError, match=r"^the file is damaged or truncated$"):
        opened(sealed(bytes(200_000))[:-cut])


def test_a_longer_file_is_refused() -> None:
    with pytest.raises(PermanentError, match="damaged"):
        opened(sealed(b"content") + b"x")


def test_a_changed_bit_anywhere_never_changes_what_is_read() -> None:
    whole = sealed(b"content")
    for place in range(len(whole)):
        with suppress(PermanentError):
            assert opened(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]) == b"content"


def test_a_wrong_passphrase_is_refused() -> None:
    with pytest.raises(PermanentError, match="the passphrase does not open the file"):
        opened(sealed(b"content"), b"another")


@pytest.mark.parametrize("content", [b"", b"PGDMP", b"age-encryption.org/v1\n", bytes(1000), b"\n", b"x" * 600])
def test_a_foreign_file_is_refused(content: bytes) -> None:
    with pytest.raises(PermanentError, match="is not a backup of VitalFlow"):
        opened(content)


def test_the_error_of_what_is_backed_up_is_raised_unchanged() -> None:
    def failing() -> Iterator[bytes]:
        yield b"content"
        raise PermanentError("the database has no schema yet")

    with pytest.raises(PermanentError, match="has no schema yet"):
        seal(failing(), io.BytesIO(), WORD)


def test_the_error_of_a_full_disk_is_raised_unchanged() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        seal(iter([bytes(200_000)]), full, WORD)


def test_a_reader_that_stops_early_gets_its_own_error() -> None:
    with (
        pytest.raises(KeyError, match="mine"),
        unseal(io.BufferedReader(io.BytesIO(sealed(bytes(3_000_000)))), WORD, "the file"),
    ):
        raise KeyError("mine")


def test_members_are_read_back_in_their_order(tmp_path: Path) -> None:
    file, written = tmp_path / "backup", [("a", b"1"), *parts("b", [b"2", bytes(5000)]), ("c/d", b"")]
    file.write_bytes(sealed(*pack(written)))
    assert list(members(file, WORD)) == [("a", b"1"), ("b/00000000", b"2"), ("b/00000001", bytes(5000)), ("c/d", b"")]


@pytest.mark.parametrize("content", [b"", b"no archive", bytes(512), b"".join(pack([("../a", b"")]))])
def test_an_encrypted_file_without_a_backup_in_it_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "backup"
    file.write_bytes(sealed(content))
    with pytest.raises(PermanentError, match="is not a backup of VitalFlow"):
        read_manifest(next(iter(list(members(file, WORD)) or [("", b"")])), file)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="cannot be read: No such file or directory"):
        list(members(tmp_path / "none", WORD))


@pytest.mark.parametrize("member", [(MANIFEST, b"{}"), (MANIFEST, b"x"), ("other", b"{}")])
def test_a_first_member_that_is_no_manifest_is_refused(member: tuple[str, bytes]) -> None:
    with pytest.raises(PermanentError, match="is not a backup of VitalFlow"):
        read_manifest(member, Path("file"))


def test_a_newer_format_names_the_version_that_wrote_it() -> None:
    newer = (
        b'{"format":2,"vitalflow":"9.1","created":"2026-01-01T00:00:00Z","postgresql":17,"timescaledb":"2.19.3",'
        b'"license":"apache","migrations":[]}'
    )
    with pytest.raises(PermanentError, match=r"written by VitalFlow 9\.1 in the format 2"):
        read_manifest((MANIFEST, newer), Path("file"))
