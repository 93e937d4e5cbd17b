"""The page about diagnosis says what the rules do."""

from __future__ import annotations

from contextcore_install.diagnosis.rule import Subject, rules_of
from dev.diagnosis_reference import PAGE, page


def test_the_page_is_made_from_the_rules() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "the rules have changed: `make reference` writes the page anew"


def test_the_page_tells_of_every_rule_in_the_order_in_which_they_are_tried() -> None:
    rest = page()
    for rule in (rule for subject in Subject for rule in rules_of(subject)):
        _, found, rest = rest.partition(f"\n| `{rule.id}`")
        assert found, rule.id


def test_no_placeholder_is_left_as_such() -> None:
    assert not {"{", "}", "None"} & set(page().replace("${", "").replace("'{{.", "").split())
