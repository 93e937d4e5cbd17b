"""All rules, by subject. Within a subject the first that fits counts: the particular stands before the general."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from contextcore_install.diagnosis.rule import Rule, Subject


@cache
def rules_of(subject: Subject) -> tuple[Rule, ...]:
    """Return the rules about a subject, in their order. Only what is asked for is imported."""
    found: tuple[Rule, ...] = import_module(f"contextcore_install.diagnosis.rules.{subject}").RULES
    return found


def all_rules() -> dict[Subject, tuple[Rule, ...]]:
    """Return every rule there is."""
    return {subject: rules_of(subject) for subject in Subject}
