"""People's ways in besides SFTP: sign-in links, desk sessions, chat accounts; and suspension, which ends them all."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass

from sqlmodel import col, delete, select

from server.domain.agreement import Member, Person
from server.domain.errors import Forbidden, Missing, Refused
from server.domain.ledger import Event
from server.domain.schedule import clock_words
from server.exchange.delivery import Outcome
from server.exchange.ground import Ground
from server.exchange.sessions import key_of
from server.exchange.signing import signs
from server.store import Tx
from server.store.duty_tables import FeedRow
from server.store.tables import ChatLinkRow, CodeRow, DeskSessionRow, SeenRow, SuspensionRow

OPERATOR = "operator"
SESSION_SECONDS = 12 * 3600
CODE_SECONDS = 3600
CODES_KEPT = 5
"""Codes of one purpose that a person has at most at a time: a mailbox that is copied whole makes one each time."""
SEEN_SECONDS = 24 * 3600
_INVITED = "invite"


@dataclass(frozen=True, slots=True)
class DeskSession:
    """A signed-in browser: the cookie's value, whose it is, and the token that every form carries."""

    cookie: str
    person: Person
    member: Member
    form_token: str


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class People:
    """Codes and links are shown once and kept as hashes; each works once."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    # -- codes

    def invite(self, person_id: str, *, by: str, hours: int = 24) -> str:
        """A one-time sign-in token for the desk."""
        return self._code("desk", self._entering(person_id), via_key=_INVITED, by=by, seconds=hours * 3600)

    def code(self, purpose: str, person: Person, *, via_key: str) -> str:
        """A one-time code for the person who fetched it with that key: "chat" or "desk"."""
        return self._code(purpose, person, via_key=via_key, by=person.id, seconds=CODE_SECONDS)

    def chat_code(self, cookie: str) -> str:
        """A one-time chat code for whoever is signed in with this cookie; it dies with what that sign-in hangs on.

        For people who have a desk and no mailbox. Raises Missing when the session has ended.
        """
        person, via_key = self.signed_in_with(cookie)
        return self.code("chat", person, via_key=via_key)

    def signed_in_with(self, cookie: str) -> tuple[Person, str]:
        """Who is signed in with this cookie, and what that sign-in hangs on. Raises Missing when it has ended."""
        signed_in = self.desk_session(cookie)
        with self._ground.store.reading() as session:
            row = session.get(DeskSessionRow, _hash(cookie))
        if signed_in is None or row is None:
            raise Missing("You are signed out.")
        return signed_in.person, row.via_key

    def _code(self, purpose: str, person: Person, *, via_key: str, by: str, seconds: int) -> str:
        secret = _spoken() if purpose == "chat" else secrets.token_urlsafe(32)
        with self._ground.transaction() as tx:
            self._forget_codes(tx, purpose, person)
            row = CodeRow(
                hash=_hash(secret), purpose=purpose, person=person.id, via_key=via_key, made_at=tx.now,
                expires_real=time.time() + seconds,
            )  # fmt: skip
            tx.session.add(row)
            tx.record(Event("code.issued", by, (), {"purpose": purpose, "for": person.id, "key": via_key}))
        return secret

    def _forget_codes(self, tx: Tx, purpose: str, person: Person) -> None:
        """Codes that are used or expired go, and the person's oldest that leave no room for one more."""
        tx.session.exec(delete(CodeRow).where(col(CodeRow.used) | (col(CodeRow.expires_real) < time.time())))
        newest_first = (
            select(CodeRow)
            .where(CodeRow.person == person.id, CodeRow.purpose == purpose)
            .order_by(col(CodeRow.made_at).desc())
        )
        for old in tx.session.exec(newest_first.offset(CODES_KEPT - 1)).all():
            tx.session.delete(old)

    def _redeem(self, tx: Tx, purpose: str, secret: str) -> CodeRow:
        row = tx.session.get(CodeRow, _hash(secret))
        good = row is not None and row.purpose == purpose and not row.used and row.expires_real > time.time()
        if row is None or not good or not self.valid(row.person, row.via_key):
            raise Refused(
                "This link or code was used already, has expired, or never was. Take a new one from /link/ in your "
                "mailbox, or ask your administrator.",
                code="CODE_INVALID",
            )
        row.used = True
        tx.session.add(row)
        return row

    def valid(self, person_id: str, via_key: str) -> bool:
        """Whether what was fetched with that key still counts: it dies with the key, the person or a suspension."""
        person = self._ground.policy.person(person_id)
        if person is None or person_id in self._ground.suspended or not self._may_enter(person):
            return False
        own = key_of(person, via_key)
        return via_key == _INVITED or (own is not None and not own.put_only)

    def _may_enter(self, person: Person) -> bool:
        """Of a member that has left, its governance leads alone sign in: to attest what was destroyed."""
        return person.member not in self._ground.facts.left or signs(self._ground.policy, person)

    def _entering(self, person_id: str) -> Person:
        person = self._ground.policy.person(person_id)
        if person is None or person_id in self._ground.suspended or not self._may_enter(person):
            raise Missing("There is no such person, they are suspended, or their organisation has left.")
        return person

    # -- the desk

    def sign_in(self, token: str) -> DeskSession:
        """A desk session for a one-time token. Raises Refused when it is used up."""
        cookie, form_token = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
        with self._ground.transaction() as tx:
            code = self._redeem(tx, "desk", token)
            tx.session.exec(delete(DeskSessionRow).where(col(DeskSessionRow.expires_real) < time.time()))
            tx.session.add(
                DeskSessionRow(
                    hash=_hash(cookie), person=code.person, via_key=code.via_key, form_token=form_token,
                    made_at=tx.now, expires_real=time.time() + SESSION_SECONDS,
                )
            )  # fmt: skip
            tx.record(Event("desk.signed-in", code.person, (), {"key": code.via_key}))
        person = self._entering(code.person)
        return DeskSession(cookie, person, self._ground.member(person.member), form_token)

    def desk_session(self, cookie: str) -> DeskSession | None:
        """The session of this cookie, if it still counts."""
        with self._ground.store.reading() as session:
            row = session.get(DeskSessionRow, _hash(cookie))
            suspended = row is not None and session.get(SuspensionRow, row.person) is not None
        if row is None or suspended or row.expires_real < time.time() or not self.valid(row.person, row.via_key):
            return None
        person = self._entering(row.person)
        return DeskSession(cookie, person, self._ground.member(person.member), row.form_token)

    def sign_out(self, cookie: str) -> None:
        """The session ends."""
        with self._ground.transaction() as tx:
            row = tx.session.get(DeskSessionRow, _hash(cookie))
            if row is not None:
                tx.session.delete(row)
                tx.record(Event("desk.signed-out", row.person, (), {}))

    # -- chat

    def link_chat(self, platform: str, team: str, account: str, code: str) -> str:
        """Tie a chat account to the person whose mailbox the code came from; the sentence for them."""
        with self._ground.transaction() as tx:
            row = self._redeem(tx, "chat", code.strip().upper())
            earlier = tx.session.exec(self._account(platform, team, account)).first()
            if earlier is not None:
                tx.session.delete(earlier)
                tx.session.flush()
            tx.session.add(
                ChatLinkRow(
                    platform=platform, team=team, account=account, person=row.person, via_key=row.via_key, at=tx.now
                )
            )
            tx.record(Event("chat.linked", row.person, (), {"platform": platform, "key": row.via_key}))
        return f"Linked: you are {row.person}. Notices will come to you here."

    def unlink_chat(self, platform: str, team: str, account: str) -> str:
        """The account is nobody's any more."""
        with self._ground.transaction() as tx:
            row = tx.session.exec(self._account(platform, team, account)).first()
            if row is None:
                return "This account was not linked."
            tx.session.delete(row)
            tx.record(Event("chat.unlinked", row.person, (), {"platform": platform}))
        return "Unlinked. Notices will no longer come here."

    def of_account(self, platform: str, team: str, account: str) -> Person | None:
        """Whose chat account this is; None when it is nobody's, or its key is gone, or they are suspended."""
        with self._ground.store.reading() as session:
            row = session.exec(self._account(platform, team, account)).first()
            suspended = row is not None and session.get(SuspensionRow, row.person) is not None
        if row is None or suspended or not self.valid(row.person, row.via_key):
            return None
        return self._ground.policy.person(row.person)

    def _account(self, platform: str, team: str, account: str):  # type: ignore[no-untyped-def]
        return select(ChatLinkRow).where(
            ChatLinkRow.platform == platform, ChatLinkRow.team == team, ChatLinkRow.account == account
        )

    def first_time(self, key: str) -> bool:
        """True once per key: what makes a repeated chat action harmless."""
        now = time.time()
        with self._ground.transaction() as tx:
            if tx.session.get(SeenRow, key) is not None:
                return False
            tx.session.exec(delete(SeenRow).where(col(SeenRow.at_real) < now - SEEN_SECONDS))
            tx.session.add(SeenRow(key=key, at_real=now))
        return True

    # -- suspension

    def suspend(self, person_id: str, *, by: str) -> Outcome:
        """Ends the person's sessions, chat links, feeds, codes at once. By anybody of the member, or administrators."""
        person = self._ground.policy.person(person_id)
        if person is None:
            raise Missing("There is no such person.")
        self._may_suspend(person, by)
        with self._ground.transaction() as tx:
            if tx.session.get(SuspensionRow, person_id) is not None:
                return Outcome(f"{person_id} is suspended already.", changed=False)
            tx.session.add(SuspensionRow(person=person_id, at=tx.now, by=by))
            for table in (DeskSessionRow, ChatLinkRow):
                tx.session.exec(delete(table).where(col(table.person) == person_id))
            for code in tx.session.exec(select(CodeRow).where(CodeRow.person == person_id)).all():
                code.used = True
                tx.session.add(code)
            for feed in tx.session.exec(select(FeedRow).where(FeedRow.person == person_id)).all():
                feed.ended_at = feed.ended_at or tx.now
                tx.session.add(feed)
            for asked in tx.session.exec(select(SuspensionRow).where(SuspensionRow.lift_asked_by == person_id)).all():
                asked.lift_asked_by = None
                tx.session.add(asked)
            about = tx.record(Event("person.suspended", by, (), {"person": person_id}))
            self._tell(tx, person, "suspended", {"by": by, "asked": None}, about=about)
        self._ground.refresh()
        return Outcome(f"{person_id} is suspended: sessions, chat links and codes have ended.", changed=True)

    def resume(self, person_id: str, *, by: str) -> Outcome:
        """Two different people lift a suspension: the first asks, the second agrees.

        Both may do so at the moment when it is lifted: who asked and may no longer ask counts for nothing.
        """
        person = self._ground.policy.person(person_id)
        if person is None:
            raise Missing("There is no such person.")
        self._may_suspend(person, by)
        if by == OPERATOR:
            raise Forbidden("Say who lifts it: --by PERSON. Two different people are needed.")
        if by == person_id:
            raise Forbidden("Nobody lifts their own suspension.")
        with self._ground.transaction() as tx:
            row = tx.session.get(SuspensionRow, person_id)
            if row is None:
                return Outcome(f"{person_id} is not suspended.", changed=False)
            if tx.session.get(SuspensionRow, by) is not None:
                raise Forbidden("You are suspended yourself; two colleagues have to lift that first.")
            first = row.lift_asked_by if self._still_asks(tx, row.lift_asked_by, person) else None
            if first is None or first == by:
                changed = first is None
                row.lift_asked_by = by
                tx.session.add(row)
                if changed:
                    about = tx.record(Event("person.resume-asked", by, (), {"person": person_id}))
                    self._tell(tx, person, "suspended", {"by": row.by, "asked": by}, about=about)
                return Outcome(f"{by} asks to lift it; one more person has to agree.", changed=changed)
            both = f"{first} and {by}"
            tx.session.delete(row)
            about = tx.record(Event("person.resumed", by, (), {"person": person_id, "with": first}))
            self._tell(tx, person, "resumed", {"by": both}, about=about)
        self._ground.refresh()
        return Outcome(f"{person_id} may work again (agreed by {both}).", changed=True)

    def _still_asks(self, tx: Tx, asker: str | None, person: Person) -> bool:
        """Whether who asked to lift the person's suspension could ask now."""
        if asker is None or tx.session.get(SuspensionRow, asker) is not None:
            return False
        try:
            self._may_suspend(person, asker)
        except (Forbidden, Missing):
            return False
        return True

    def _may_suspend(self, person: Person, by: str) -> None:
        if by == OPERATOR:
            return
        actor = self._ground.person(by)
        administrator = "administrator" in actor.roles
        if not administrator and (actor.member != person.member or not self._ground.policy.may(actor, "suspend")):
            raise Forbidden("Only a person of the same organisation or an administrator can do that.")

    def _tell(self, tx: Tx, person: Person, kind: str, facts: dict[str, object], *, about: int) -> None:
        told = {"person": person.id, "at": clock_words(tx.now, tx.now), **facts}
        for colleague in self._ground.policy.people_of(person.member):
            if colleague.id != person.id:
                notice = self._ground.notices.notice(
                    kind, person=colleague.id, member=person.member, thread=f"suspension:{person.id}", facts=told,
                    tone="attention",
                )  # fmt: skip
                tx.notify(notice, about=about)


def _spoken() -> str:
    """A code that is easily typed: twelve letters and digits without look-alikes (60 bits)."""
    return "".join(secrets.choice("23456789ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(12))
