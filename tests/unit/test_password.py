"""Which chosen passwords are refused, and what the broker receives in place of one."""

import re

import pytest

from vitals.password import (
    PasswordRejected,
    decode_chosen,
    decode_salt,
    derive_secret,
    new_salt,
    require_acceptable,
)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "Tulpe-Anker-Wolke",
        "גשר ארוך מאוד כאן",
        "9fK2-vQ7x-Lm4z",
        "a" * 5 + "bcd xyz 123 q",
        "ümläute sind gut",
    ],
)
def test_a_long_password_that_is_not_common_is_accepted(password: str) -> None:
    require_acceptable(password, "ada")


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "0 characters; use 12 or more"),
        ("short one 1", "11 characters; use 12 or more"),
        ("x" * 1001, "at most 1000 characters"),
        ("a word with \0 in it", "without NUL"),
        ("Adas dog is brown", "contains your name"),
        ("qwerty123456", "common"),
        ("QWERTY123456", "common"),
        ("Password2026!", "common"),
        ("!!liverpool!!", "common"),
        ("passwordpassword", "common"),
        ("VitalFlow2026", "common"),
        ("abcabcabcabc", "common"),
        ("aaaaaaaaaaaa", "common"),
        ("abcdefghijkl", "common"),
        ("lkjihgfedcba", "common"),
        ("123456789012", "common"),
        ("2026-11-29 10:00", "common"),
    ],
)
def test_a_short_or_common_password_is_refused_with_the_reason(password: str, reason: str) -> None:
    with pytest.raises(PasswordRejected, match=re.escape(reason)):
        require_acceptable(password, "ada")


def test_the_secret_depends_on_password_and_salt() -> None:
    salt, other = new_salt(), new_salt()
    secret = derive_secret("correct horse battery", salt)
    assert derive_secret("correct horse battery", salt) == secret
    assert (
        len({secret, derive_secret("correct horse batterz", salt), derive_secret("correct horse battery", other)}) == 3
    )


def test_only_a_salt_and_a_secret_of_the_scheme_are_decoded() -> None:
    salt = new_salt()
    secret = derive_secret("correct horse battery", salt)
    good = f'{{"salt":"{salt}","secret":"{secret}"}}'.encode()
    assert (decode_chosen(good).salt, decode_salt(f'"{salt}"'.encode())) == (salt, salt)
    for bad in (b"", b"{}", b'"x"', good[:-1], good.replace(b"scrypt1", b"scrypt9"), good.replace(b'"}', b'","n":1}')):
        with pytest.raises(ValueError, match="not a salt"):
            decode_chosen(bad)
    with pytest.raises(ValueError, match="not a salt"):
        decode_salt(good)
