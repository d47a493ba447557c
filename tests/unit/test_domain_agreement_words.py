"""The signed text in plain words: whole in its subjects, and nothing that is not signed."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.domain.agreement_words import sections
from server.policy.load import load

POLICIES = Path(__file__).parent.parent.parent / "policies"


@pytest.mark.parametrize("name", ["ccis-v2", "seed-v1"])
def test_every_member_authority_exchange_and_column_is_said(name: str) -> None:
    """Whoever signs has read whom it binds and what it lets go."""
    policy = load(POLICIES / name)
    said = "\n".join(sentence for _, sentences in sections(policy) for sentence in sentences)
    for member in policy.members:
        assert member.name in said
        assert all(authority.la in said for authority in member.represents)
    for exchange in policy.exchanges:
        schema = policy.schema_of(exchange)
        assert exchange.title in said
        assert schema is None or all(column.name in said for column in schema.columns)


def test_nobodys_name_or_contact_is_in_it() -> None:
    """People come and go without a new text."""
    policy = load(POLICIES / "ccis-v2")
    said = "\n".join(sentence for _, sentences in sections(policy) for sentence in sentences)
    assert "@" not in said
    assert [person.name for person in policy.people if person.name in said] == []


def test_what_the_text_does_not_say_is_no_heading() -> None:
    """A set without purposes has no empty part about them."""
    policy = load(POLICIES / "ccis-v2")
    bare = policy.model_copy(update={"agreement": policy.agreement.model_copy(update={"purposes": ()})})
    assert "What the data may be used for" in [heading for heading, _ in sections(policy)]
    assert "What the data may be used for" not in [heading for heading, _ in sections(bare)]
