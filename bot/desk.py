"""The desk: Safehand in a browser, for a person who signed in by a one-time link. No script, no cache.

A change is a POST with the session's form token from a page of ours; a GET changes nothing, the sign-in link apart.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from bot.conversation import ASKS, Buttons, Form, Reply
from bot.pages import (
    by_member,
    consequence_groups,
    day_words,
    delivery_line,
    holds_first,
    notice_item,
    proposal_line,
    sentence,
    size_words,
    today_groups,
    told_by,
    waits,
)
from bot.relay import Threads
from bot.status_page import ALL, page
from server.domain.agreement_words import COLUMNS
from server.domain.due import year_named
from server.domain.errors import Busy, SafehandError
from server.domain.pacing import DIGEST
from server.domain.schedule import in_words
from server.exchange import Exchange
from server.exchange.digests import may_wait
from server.exchange.people import DeskSession
from server.exchange.signing import signs

Handler = Callable[[Request], Awaitable[Response]]
SignedIn = Callable[[Request, DeskSession], Awaitable[Response]]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
SIGNED_IN_SECONDS = 12 * 3600
REPLIES_KEPT = 500
NOTICES_SHOWN = 50
DELIVERIES_SHOWN = 50
_BACK = re.compile(
    r"/desk(/colleagues|/agreement|/use/[a-z0-9-]{1,40}/\d{4}-\d{2}|/changes(/P-\d{4}-\d{6,})?|/delivery/D-\d{4}-\d{6,})?"
)
_FIELD = re.compile(r"[a-z_0-9]{1,30}(\.D-\d{4}-\d{6,})?")
_NO_ANSWERS = frozenset({"form_token", "back", "sure"})
OLD_PAGE = "That page was too old, or it did not come from this desk. Nothing was changed. Please open the desk again."


class Desk:
    """The desk's routes. `told` is called after a change, so that chat messages follow at once.

    `chat`: there is a chat that people can link their account in.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        web_url: str,
        templates: Path,
        threads: Threads,
        told: Callable[[], None] = lambda: None,
        chat: bool = False,
    ) -> None:
        self._exchange, self._threads, self._told, self._chat = exchange, threads, told, chat
        self._buttons = Buttons(exchange)
        self._origin = urlsplit(web_url)
        self._secure = self._origin.scheme == "https"
        self._cookie = "__Host-safehand" if self._secure else "safehand"
        self._style = (templates / "desk" / "safehand.css").read_text()
        self._said: OrderedDict[str, tuple[str, Reply]] = OrderedDict()
        self._env = Environment(
            loader=FileSystemLoader(templates / "desk"),
            undefined=StrictUndefined,
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._env.filters |= {"bytes": size_words, "day": day_words, "sentence": sentence, "moment": in_words}
        self._env.globals |= {"asks": ASKS}

    @property
    def routes(self) -> list[BaseRoute]:
        """Everything under /desk, and / that leads there."""
        return [
            Route("/", self._to_desk, methods=["GET"]),
            Route("/desk/in/{token}", self._sign_in, methods=["GET"]),
            Route("/desk/safehand.css", self._css, methods=["GET"]),
            Route("/desk/out", self._posted(self._sign_out), methods=["POST"]),
            Route("/desk/code", self._posted(self._code), methods=["POST"]),
            Route("/desk/feed", self._posted(self._new_feed), methods=["POST"]),
            Route("/feed/{token}.ics", self._feed, methods=["GET"]),
            Route("/desk", self._signed_in(self._home), methods=["GET"]),
            Route("/desk/delivery/{delivery}", self._signed_in(self._delivery), methods=["GET"]),
            Route("/desk/certificate/{file}", self._signed_in(self._certificate), methods=["GET"]),
            Route("/desk/status", self._signed_in(self._status), methods=["GET"]),
            Route("/desk/status/{exchange}/{year}", self._signed_in(self._status), methods=["GET"]),
            Route("/desk/use/{exchange}/{period}", self._signed_in(self._use), methods=["GET"]),
            Route("/desk/changes", self._signed_in(self._changes), methods=["GET"]),
            Route("/desk/changes/{proposal}", self._signed_in(self._change), methods=["GET"]),
            Route("/desk/agreement", self._signed_in(self._agreement), methods=["GET"]),
            Route("/desk/agreement/text", self._signed_in(self._agreement_text), methods=["GET"]),
            Route("/desk/colleagues", self._signed_in(self._colleagues), methods=["GET"]),
            Route("/desk/do/{verb}/{subject}", self._signed_in(self._ask), methods=["GET"]),
            Route("/desk/do/{verb}/{subject}", self._posted(self._press), methods=["POST"]),
            Route("/desk/{rest:path}", self._nothing_here, methods=["GET", "POST"]),
        ]

    # -- who is there

    async def _session(self, request: Request) -> DeskSession | None:
        cookie = request.cookies.get(self._cookie)
        return await self._threads.run(self._exchange.people.desk_session, cookie) if cookie else None

    def _signed_in(self, handle: SignedIn) -> Handler:
        """The handler with the session, or the friendly page for whoever has none."""

        async def guarded(request: Request) -> Response:
            try:
                session = await self._session(request)
                if session is None:
                    return self._signed_out(401)
                return await handle(request, session)
            except SafehandError as error:
                return self._message(None, error.sentence, 503 if isinstance(error, Busy) else 404)

        return guarded

    def _posted(self, handle: SignedIn) -> Handler:
        """The handler of a POST that came from a page of this session."""

        async def proved(request: Request, session: DeskSession) -> Response:
            form = await request.form()
            if self._foreign(request) or not hmac.compare_digest(
                _text(form, "form_token").encode(), session.form_token.encode()
            ):
                return self._message(session, OLD_PAGE, 403)
            return await handle(request, session)

        return self._signed_in(proved)

    def _foreign(self, request: Request) -> bool:
        """Whether the browser says that another site sent this. With our referrer policy its Origin is "null"."""
        site = request.headers.get("sec-fetch-site")
        if site is not None and site != "same-origin":
            return True
        origin = request.headers.get("origin", "null")
        if origin == "null":
            return False
        return urlsplit(origin).netloc not in {self._origin.netloc, request.headers.get("host", "")}

    # -- signing in and out

    async def _to_desk(self, request: Request) -> Response:
        return self._redirect("/desk")

    async def _sign_in(self, request: Request) -> Response:
        """A one-time link. Looking at it (HEAD, a prefetch) does not use it up."""
        looking = [request.headers.get(name, "").lower() for name in ("sec-purpose", "purpose", "x-moz")]
        if request.method == "HEAD" or any("prefetch" in purpose for purpose in looking):
            return Response(status_code=204, headers=HEADERS)
        try:
            session = await self._threads.run(self._exchange.people.sign_in, request.path_params["token"])
        except SafehandError as error:
            return self._signed_out(503 if isinstance(error, Busy) else 403, error.sentence)
        answer = self._redirect("/desk")
        answer.set_cookie(
            self._cookie,
            session.cookie,
            max_age=SIGNED_IN_SECONDS,
            path="/",
            httponly=True,
            samesite="lax",
            secure=self._secure,
        )
        return answer

    async def _sign_out(self, request: Request, session: DeskSession) -> Response:
        await self._threads.run(self._exchange.people.sign_out, session.cookie)
        answer = self._signed_out(200, "You are signed out.")
        answer.delete_cookie(self._cookie, path="/", httponly=True, samesite="lax", secure=self._secure)
        return answer

    async def _code(self, request: Request, session: DeskSession) -> Response:
        """A one-time code for chat, shown once."""
        code = await self._threads.run(self._exchange.people.chat_code, session.cookie)
        return self._page("code.html", session, code=code)

    async def _new_feed(self, request: Request, session: DeskSession) -> Response:
        """A new secret address of the person's calendar, shown once; the earlier ones have ended."""
        token = await self._threads.run(self._exchange.feeds.renew, session.cookie)
        return self._page("feed.html", session, address=f"{self._origin.geturl().rstrip('/')}/feed/{token}.ics")

    async def _feed(self, request: Request) -> Response:
        """A calendar by its secret address: whoever has it reads it, and nobody else finds out that it is there."""
        try:
            found = await self._threads.run(self._exchange.feeds.read, request.path_params["token"])
        except SafehandError as error:
            status = 503 if isinstance(error, Busy) else 404
            return PlainTextResponse(f"{error.sentence}\n", status, {**HEADERS, "Cache-Control": "no-store"})
        kept = {**HEADERS, "Cache-Control": "private", "ETag": f'"{found.etag}"'}
        asked = {mark.strip().removeprefix("W/") for mark in request.headers.get("if-none-match", "").split(",")}
        if asked & {kept["ETag"], "*"}:
            return Response(status_code=304, headers=kept)
        return Response(found.content, media_type="text/calendar; charset=utf-8", headers=kept)

    # -- pages

    async def _home(self, request: Request, session: DeskSession) -> Response:
        person = session.person.id
        told = await self._threads.run(self._exchange.views.notices, person)
        notices = [view for view in told if view.notice.kind != DIGEST]  # the page itself says what waits today
        head = await self._threads.run(self._exchange.evidence.head)
        received = await self._threads.run(self._exchange.views.received, person)
        sent = await self._threads.run(self._exchange.views.sent_deliveries, person)
        review = await self._threads.run(self._exchange.reviews.under_way, person)
        uses = await self._threads.run(self._exchange.use_forms.open_groups, person)
        today = await self._threads.run(self._exchange.digests.today, person)
        waiting, now = sorted((view for view in notices if waits(view)), key=holds_first), self._exchange.now()
        asked = {button.subject for view in waiting for button in view.notice.buttons}
        today = tuple(item for item in today if not told_by(asked, item))
        return self._page(
            "home.html",
            session,
            request=request,
            review=review,
            uses=uses,
            today=today_groups(today),
            later=any(may_wait(item, now) for item in today),
            chat=self._chat,
            head=head,
            waiting=[notice_item(view, now) for view in waiting],
            news=[notice_item(view, now) for view in notices if not waits(view)][:NOTICES_SHOWN],
            received=[delivery_line(view) for view in received[:DELIVERIES_SHOWN]],
            sent=[delivery_line(view) for view in sent[:DELIVERIES_SHOWN]],
        )

    async def _delivery(self, request: Request, session: DeskSession) -> Response:
        person, wanted = session.person.id, request.path_params["delivery"]
        received = await self._threads.run(self._exchange.views.received, person)
        sent = await self._threads.run(self._exchange.views.sent_deliveries, person)
        for side, views in (("received", received), ("sent", sent)):
            view = next((view for view in views if view.id == wanted), None)
            if view is not None:
                corrections = await self._threads.run(self._exchange.corrections.of_person, person)
                return self._page(
                    "delivery.html",
                    session,
                    request=request,
                    side=side,
                    line=delivery_line(view),
                    corrections=[
                        one for one in corrections if view.id == one.delivery or view.consignment == one.consignment
                    ],
                    may_correct=side == "received" and self._exchange.corrections.may_ask(person),
                    holds=await self._threads.run(self._exchange.holds.of_delivery, person, wanted),
                    may_hold=await self._threads.run(self._exchange.holds.may_place, person, wanted),
                    certificates=await self._threads.run(self._exchange.certificates.seen, person, wanted),
                )
        return self._message(session, f"There is no delivery {wanted[:40]} that you may see.", 404)

    async def _certificate(self, request: Request, session: DeskSession) -> Response:
        """One file of a certificate, or the exchange's public key, to be kept: never shown as a page of the desk."""
        file = request.path_params["file"]
        if file == "exchange.asc":
            content = self._exchange.ground.key.armored.encode()
        else:
            content = await self._threads.run(self._exchange.certificates.download, session.person.id, file)
        kept = {**HEADERS, "Content-Disposition": f'attachment; filename="{file}"'}
        return Response(content, media_type="application/octet-stream", headers=kept)

    async def _use(self, request: Request, session: DeskSession) -> Response:
        """All open deliveries of an exchange and period: what was in them as one table, then what is destroyed."""
        subject = f"{request.path_params['exchange']}-{request.path_params['period']}"
        for verb in ("processed", "destroyed"):
            asked = await self._threads.run(self._buttons.ask, session.person.id, verb, subject)
            if isinstance(asked, Form):
                return self._page("form.html", session, request=request, form=asked, back="/desk")
        return self._message(session, "Nothing of it waits to be used or destroyed.", 404)

    async def _colleagues(self, request: Request, session: DeskSession) -> Response:
        views = await self._threads.run(self._exchange.views.colleagues, session.person.id)
        absences = await self._threads.run(self._exchange.absences.of_member, session.person.id)
        return self._page("colleagues.html", session, request=request, colleagues=views, absences=absences)

    async def _status(self, request: Request, session: DeskSession) -> Response:
        """How the agreement is kept in one sharing year: of all exchanges or one, of all members or the own one."""
        wanted, named = request.path_params.get("exchange", ALL), request.path_params.get("year")
        year = year_named(named) if named else None
        if named and year is None:
            return self._message(session, "There is no such sharing year: it is written as 2026-27.", 404)
        sight = await self._threads.run(
            lambda: self._exchange.status.sight(
                session.person.id,
                exchange=None if wanted == ALL else wanted,
                member=session.member.id if request.query_params.get("own") else None,
                year=year,
            )
        )
        shown = page(sight, (session.member.id, session.member.called))
        return self._page("status.html", session, request=request, kept=shown)

    async def _changes(self, request: Request, session: DeskSession) -> Response:
        views = await self._threads.run(self._exchange.revisions.proposals, session.person.id)
        return self._page("changes.html", session, request=request, lines=[proposal_line(view) for view in views])

    async def _change(self, request: Request, session: DeskSession) -> Response:
        """One proposal: what it would change for whom, who must agree, and the person's own answer."""
        view = await self._threads.run(
            self._exchange.revisions.proposal, session.person.id, request.path_params["proposal"]
        )
        return self._page(
            "change.html",
            session,
            request=request,
            line=proposal_line(view),
            groups=consequence_groups(view.told),
            answers=[
                (self._named(person, member), answer, in_words(at), dict(view.reasons).get(person))
                for person, member, answer, at in view.answers
            ],
            by=self._named(view.by),
            signs=signs(self._exchange.policy, session.person),
        )

    async def _agreement(self, request: Request, session: DeskSession) -> Response:
        """The text in force, everybody's signature, and the person's own."""
        person, policy = session.person.id, self._exchange.policy
        view = await self._threads.run(self._exchange.signing.document, person)
        review = await self._threads.run(self._exchange.reviews.under_way, person)
        gone = {left.member: left.words for left in await self._threads.run(self._exchange.departures.all)}
        statements = await self._threads.run(self._exchange.yearly.table, person)
        left = {member.called: gone[member.id] for member in policy.members if member.id in gone}
        return self._page(
            "agreement.html",
            session,
            request=request,
            view=view,
            states=[(member, left.get(member, words)) for member, words in view.states],
            columns=COLUMNS,
            agreement=policy.agreement,
            own=next((words for member, words in view.states if member == session.member.called), ""),
            review=review,
            mine=[one for one in statements if one.member == session.member.id],
            others=by_member(one for one in statements if one.member != session.member.id),
            may_ask=self._exchange.reviews.may_ask(person),
        )

    async def _agreement_text(self, request: Request, session: DeskSession) -> Response:
        """The very bytes that a signature's hash is of."""
        text = self._exchange.policy.document
        return Response(text, media_type="text/plain; charset=utf-8", headers=HEADERS)

    def _named(self, person_id: str, member_id: str = "") -> str:
        """C. Cedar, Essex; the id of whom the policy does not have any more."""
        policy = self._exchange.policy
        person = policy.person(person_id)
        member = policy.member(member_id or (person.member if person else ""))
        return f"{person.name if person else person_id}{f', {member.called}' if member else ''}"

    async def _nothing_here(self, request: Request) -> Response:
        return self._message(None, "There is no such page on the desk.", 404)

    async def _css(self, request: Request) -> Response:
        return Response(self._style, media_type="text/css", headers={**HEADERS, "Cache-Control": "max-age=300"})

    # -- acting

    async def _ask(self, request: Request, session: DeskSession) -> Response:
        """The form before a verb. Changes nothing."""
        verb, subject = request.path_params["verb"], request.path_params["subject"]
        asked = await self._threads.run(self._buttons.ask, session.person.id, verb, subject)
        if isinstance(asked, Reply):
            return self._message(session, asked.text, 404)
        return self._page("form.html", session, form=asked, back=_back(request.query_params.get("back", "")))

    async def _press(self, request: Request, session: DeskSession) -> Response:
        """One verb; then back to where the person was, with what happened said once."""
        form = await request.form()
        verb, subject = request.path_params["verb"], request.path_params["subject"]
        given = None if verb in ASKS and not _text(form, "sure") else _answers(form)
        answer = await self._threads.run(self._buttons.press, session.person.id, verb, subject, given, via="desk")
        back = _back(_text(form, "back"))
        if isinstance(answer, Form):
            return self._page("form.html", session, form=answer, back=back, status=422 if answer.errors else 200)
        if answer.changed:
            self._told()
        if await self._session(request) is None:
            return self._signed_out(200, answer.text)
        return self._redirect(f"{back}?said={self._remember(session, answer)}")

    def _remember(self, session: DeskSession, reply: Reply) -> str:
        """A name under which this session reads the reply once."""
        name = secrets.token_urlsafe(9)
        self._said[name] = (session.cookie, reply)
        while len(self._said) > REPLIES_KEPT:
            self._said.popitem(last=False)
        return name

    def _recall_said(self, request: Request, session: DeskSession) -> Reply | None:
        name = request.query_params.get("said", "")
        if name not in self._said or self._said[name][0] != session.cookie:
            return None
        return self._said.pop(name)[1]

    # -- rendering

    def _page(
        self,
        template: str,
        session: DeskSession | None,
        *,
        request: Request | None = None,
        status: int = 200,
        **facts: object,
    ) -> Response:
        said = self._recall_said(request, session) if request and session else None
        here = request.url.path if request else str(facts.get("back", "/desk"))
        changes = session is not None and self._exchange.revisions.concern(session.person.id)
        sees = session is not None and self._exchange.status.concerns(session.person.id)
        html = self._env.get_template(template).render(
            session=session, said=said, here=here, shows_changes=changes, shows_status=sees, **facts
        )
        return Response(html, status_code=status, media_type="text/html; charset=utf-8", headers=HEADERS)

    def _message(self, session: DeskSession | None, sentence: str, status: int) -> Response:
        return self._page("message.html", session, status=status, sentence=sentence)

    def _signed_out(self, status: int, sentence: str | None = None) -> Response:
        return self._page("signed_out.html", None, status=status, sentence=sentence)

    def _redirect(self, where: str) -> Response:
        return RedirectResponse(where, status_code=303, headers=HEADERS)


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def _answers(form: FormData) -> dict[str, str]:
    """What was typed or ticked, by field; what is ticked several times stands together with commas."""
    found: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, str) and _FIELD.fullmatch(name) and name not in _NO_ANSWERS:
            found.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in found.items()}


def _back(where: str) -> str:
    return where if _BACK.fullmatch(where) else "/desk"
