"""The rule file: good defaults; every mistake is reported at once, with its line, its rule and what is allowed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.rulefile.parser import DEFAULT, InvalidRules, load, parse
from vitals.alert import Priority
from vitals.rules import SPECIAL
from vitals.signs import SIGNS

ONE = '[[rule]]\nname = "hr"\nsign = "heart_rate"\ntext = "x"\npriority = "high"\nabove = 120\n'


def mistakes(text: str) -> list[str]:
    with pytest.raises(InvalidRules) as caught:
        parse(text, "rules.toml")
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    return caught.value.mistakes


def test_the_defaults_raise_an_alarm_with_a_delay_at_every_limit_of_the_verdict_critical() -> None:
    rules = load().rules
    priorities = {}
    for sign in SIGNS:
        for above, limit in ((True, sign.critical_above), (False, sign.critical_below)):
            if limit is None:
                continue
            levels = [level for rule in rules if rule.sign == sign.key and rule.above is above for level in rule.levels]
            (level,) = [level for level in levels if level.limit == limit]
            assert level.after.total_seconds() > 0
            priorities[sign.key] = level.priority
    assert priorities == {"heart_rate": Priority.MEDIUM, "spo2": Priority.HIGH}


def test_the_defaults_have_extremes_without_delay_and_every_technical_rule() -> None:
    rules = load().rules
    at_once = {rule.sign for rule in rules if rule.source == "sign" and not rule.levels[-1].after}
    assert {"heart_rate", "spo2", "systolic_bp"} <= at_once
    assert {rule.source for rule in rules} == {"sign", *SPECIAL}


def test_the_defaults_raise_news2_at_5_or_a_single_3_and_at_7() -> None:
    (rule,) = load().scored
    assert [(level.priority, level.limit, level.single) for level in rule.levels] == [
        (Priority.MEDIUM, 4, 3),
        (Priority.HIGH, 6, None),
    ]


def test_all_mistakes_are_reported_in_the_order_of_their_lines() -> None:
    found = mistakes(
        'colour = "red"\nstale_after_s = -1\n'
        '[[rule]]\nname = "a"\nsign = "hart_rate"\ntext = "x"\npriority = "high"\nabove = 3\n'
        '[[rule]]\nname = "b"\nsign = "spo2"\ntext = """\nbelow = 1\n"""\n'
        '  [[rule.level]]\n  priority = "hgh"\n  below = 90\n'
        '  [[rule.level]]\n  priority = "low"\n  below = 80\n  for_s = "3"\n'
    )
    assert [line.split(":")[0] for line in found] == [f"rules.toml, line {number}" for number in (1, 2, 5, 12, 16, 21)]
    assert "did you mean heart_rate?" in found[2]
    assert "rule 'b'" in found[4]
    assert "did you mean high?" in found[4]


def test_mistakes_of_levels_are_reported_for_an_unknown_sign_too() -> None:
    found = mistakes(
        '[[rule]]\nname = "a"\nsign = "heart_rat"\ntext = 3\n'
        '  [[rule.level]]\n  priority = "urgent"\n  above = "high"\n  for_s = -1\n'
    )
    for key in ("sign", "text", "priority", "above", "for_s"):
        assert any(f" {key} " in line or f"{key} =" in line for line in found), (key, found)


@pytest.mark.parametrize(
    ("wrong", "line", "said"),
    [
        (ONE.replace("above = 120", "abov = 120"), 6, "did you mean above?"),
        (ONE.replace("above = 120\n", ""), 1, "expected above or below"),
        (ONE + "below = 40\n", 6, "both above and below"),
        (ONE + "clear = 125\n", 7, "clear = 125 is beyond above = 120"),
        (ONE.replace("above", "below") + "clear = 115\n", 7, "clear = 115 is beyond below = 120"),
        (ONE + "for_s = -1\n", 7, "0 to 86400 seconds"),
        (ONE + "for_s = nan\n", 7, "for_s = nan; allowed is a number"),
        (ONE + "clear_for_s = true\n", 7, "clear_for_s = True; allowed is a number"),
        (ONE + "single = 3\n", 7, "in a rule on news2"),
        (ONE + 'of = ["spo2"]\n', 7, "sensor-off"),
        (ONE + "latching = 1\n", 7, "true or false"),
        (ONE.replace("120", "999"), 6, "not a possible value"),
        (ONE.replace('"hr"', '"h/r"'), 2, "a level of a topic"),
        (ONE.replace('"hr"', '""'), 2, "a text of 1 to 200"),
        (ONE.replace('text = "x"\n', ""), 1, "no text"),
        (ONE.replace('priority = "high"\n', ""), 1, "no priority"),
        (ONE + ONE, 8, "line 2 has it already"),
        (ONE + ONE.replace("hr", "low").replace("above = 120", "below = 130"), 6, "every value of heart_rate"),
        (ONE + "[[rule.level]]\nabove = 130\n", 6, "write it in each level"),
        (ONE.replace("above = 120\n", "[[rule.level]]\nabove = 120\n[[rule.level]]\nabove = 110\n"), 9, "higher"),
        (
            ONE.replace("above = 120", "[[rule.level]]\nabove = 121\n[[rule.level]]\npriority = 'low'\nabove = 130"),
            9,
            "mild to severe",
        ),
        (ONE.replace("heart_rate", "no-data"), 6, "no meaning for no-data"),
        (ONE.replace("heart_rate", "news2").replace("above = 120", "below = 3"), 6, "more is worse"),
        ("rule = 3\n", 1, "at least one [[rule]]"),
        ("", 1, "at least one [[rule]]"),
        ("spo2_scale = 3\n" + ONE, 1, "1 or 2"),
        ('rule = [{name = "hr", sign = "pulse"}]\n', 1, "allowed is one of heart_rate"),
    ],
)
def test_a_mistake_is_reported_with_its_line(wrong: str, line: int, said: str) -> None:
    found = mistakes(wrong)
    assert any(said in one and one.startswith(f"rules.toml, line {line}:") for one in found), found


def test_invalid_toml_is_reported_with_its_line() -> None:
    (found,) = mistakes("[[rule]]\nname = \n")
    assert "line 2" in found


def test_a_missing_or_binary_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InvalidRules, match="cannot be read"):
        load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidRules, match="not a text"):
        load(tmp_path / "bytes.toml")


def test_keys_of_a_rule_apply_to_all_its_levels() -> None:
    levels = "for_s = 9\n[[rule.level]]\nabove = 120\n[[rule.level]]\nabove = 130\nfor_s = 2"
    (rule,) = parse(ONE.replace("above = 120", levels), "x").rules
    assert [(level.priority, level.after.total_seconds()) for level in rule.levels] == [("high", 9), ("high", 2)]


def test_a_mistake_of_all_levels_is_reported_once() -> None:
    levels = "for_s = -9\n[[rule.level]]\nabove = 120\n[[rule.level]]\nabove = 130"
    assert len(mistakes(ONE.replace("above = 120", levels))) == 1


LINES = DEFAULT.read_text().splitlines()
DAMAGE = st.sampled_from(["", "x = 1", "above = 'a'", "[[rule]]", "[[rule.level]]", "= 3"])


@given(st.integers(0, len(LINES) - 1), DAMAGE)
def test_one_damaged_line_never_ends_in_a_traceback(place: int, instead: str) -> None:
    text = "\n".join([*LINES[:place], instead, *LINES[place + 1 :]])
    found: list[str] = []
    try:
        parse(text, "rules.toml")
    except InvalidRules as error:
        found = error.mistakes
    assert all(line.startswith("rules.toml") for line in found)


@given(st.text())
def test_no_text_ends_in_a_traceback(text: str) -> None:
    with pytest.raises(InvalidRules):
        parse(text, "rules.toml")
