"""Pages as they leave the server: whole in both languages, escaped, without inline script, named for every reader."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Literal
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from server.prescriptions import Medicine, PrescriptionSheet
from web import dates
from web.account_views import (
    AccountView,
    CheckMailView,
    DeviceItem,
    ForgotView,
    InvitationView,
    LoginView,
    RegisterView,
    ResetView,
    SecondStepView,
    SecurityView,
    TellingItem,
    TellingView,
    VerifyMailView,
)
from web.filters import initials, qr_path, switch_language, with_links
from web.frame import Frame, FrameUser
from web.rendering import LANGUAGES, TEMPLATES, Pages
from web.staff_views import PrescriptionView
from web.views import (
    BookView,
    CheckoutView,
    ConsultationCard,
    ConsultationItem,
    ConsultationView,
    DoctorCard,
    DoctorItem,
    DoctorView,
    FieldProblem,
    HomeView,
    InboxMessage,
    InboxView,
    MeetingState,
    MessageItem,
    MyConsultationsView,
    PaymentItem,
    PrescriptionItem,
    ProblemDocView,
    ProblemView,
    RecordView,
    SlotItem,
    VerifyPrescriptionView,
)
from web.waitlist_views import OfferView, WaitlistView, WishItem

NOW = datetime(2026, 11, 25, 5, 28, tzinfo=UTC)
DOCTOR = DoctorItem(
    id=UUID(int=1),
    name="Dr. Meera Rao",
    specialty="General physician",
    languages=["hi", "en"],
    fee=49900,
    walk_ins=True,
    currency="INR",
    time_zone="Asia/Kolkata",
)
SHEET = PrescriptionSheet(
    clinic="Amrutam",
    doctor_name="Dr. Meera Rao",
    registration_number="KMC 1",
    specialty="General physician",
    patient_name="Asha Verma",
    issued_at=NOW,
    time_zone="Asia/Kolkata",
    medicines=(Medicine(name="PARACETAMOL 500 mg", dose="1 tablet", frequency="when needed", days=3),),
    code="ABCD-1234",
    verify_url="http://127.0.0.1/prescriptions/verify?code=ABCD-1234",
    consultation_number="1",
)
ASHA = FrameUser(name="Asha Verma", role="PATIENT", id="u1", patient_id="p1")
PAGES = Pages()


def a_slot(minutes: int = 12, status: str = "AVAILABLE") -> SlotItem:
    start = NOW + timedelta(minutes=minutes)
    return SlotItem(
        id=uuid4(), doctor_id=DOCTOR.id, start_time=start, end_time=start + timedelta(minutes=20), status=status
    )


def a_consultation(
    status: str = "PENDING", *, paid: bool = True, ended_as: str | None = None, checked_in: bool = False
) -> ConsultationItem:
    return ConsultationItem(
        id=UUID(int=2),
        status=status,
        slot_id=UUID(int=3),
        doctor_id=DOCTOR.id,
        patient_id=UUID(int=4),
        start_time=NOW + timedelta(minutes=22),
        end_time=NOW + timedelta(minutes=42),
        confirmed_at=NOW if paid else None,
        checked_in_at=NOW if checked_in else None,
        ended_as=ended_as,
        payment=PaymentItem(
            id=UUID(int=5),
            status="captured" if paid else "pending",
            amount=49900,
            currency="INR",
            checkout_url=None if paid else "/checkout/5",
            expires_at=NOW + timedelta(minutes=13),
        ),
    )


def a_meeting(state: MeetingState, text: str = "Drink water.") -> ConsultationView:
    return ConsultationView(
        consultation=a_consultation("COMPLETED" if state == "ended" else "PENDING", paid=state != "unpaid"),
        doctor=DOCTOR,
        patient_name="Asha Verma",
        state=state,
        messages=[
            MessageItem(id=UUID(int=6), number=1, sender_role="DOCTOR", client_id="c", text=text, created_at=NOW)
        ],
        position=2,
        estimated_start=NOW + timedelta(minutes=10),
        earliest=NOW + timedelta(minutes=5),
        latest=NOW + timedelta(minutes=15),
        prescriptions=[a_prescription()],
        room="consultation:2",
        offset=1,
        idempotency_key="key",
    )


def a_prescription() -> PrescriptionItem:
    return PrescriptionItem(id=UUID(int=7), issued_at=NOW, doctor_name="Dr. Meera Rao", pdf_urls={"en": "/rx.pdf"})


def a_wish(*, offered: bool = False) -> WishItem:
    """A place on the waitlist, maybe with a time that is kept."""
    return WishItem(
        id=UUID(int=41 + offered),
        doctor=DOCTOR,
        from_time=NOW,
        to_time=NOW + timedelta(days=3),
        offered_slot_id=UUID(int=5) if offered else None,
        offered_start_time=NOW + timedelta(days=1) if offered else None,
        offered_until=NOW + timedelta(minutes=12) if offered else None,
    )


def an_offer(answer: Literal["booked", "expired"] | None = None) -> OfferView:
    """What the link of a mail opens."""
    return OfferView(
        token="token",
        doctor=DOCTOR,
        start_time=NOW + timedelta(days=1),
        end_time=NOW + timedelta(days=1, minutes=15),
        until=NOW + timedelta(minutes=12),
        minutes=15,
        answer=answer,
    )


def views() -> list[tuple[str, BaseModel]]:
    card = ConsultationCard(
        consultation=a_consultation(), doctor=DOCTOR, prescriptions=[a_prescription()], idempotency_key="key"
    )
    payment = a_consultation(paid=False).payment
    assert payment is not None
    return [
        (
            "home.html",
            HomeView(
                doctors=[DoctorCard(doctor=DOCTOR, slots=[a_slot()])],
                soonest=DoctorCard(doctor=DOCTOR, slots=[a_slot()]),
                specialties=["General physician"],
                languages=["hi"],
            ),
        ),
        ("home.html", HomeView(q="nobody", doctors=[])),
        ("doctor.html", a_doctor_page()),
        ("waitlist.html", WaitlistView(wishes=[], room="user:1", offset=0, minutes=15)),
        ("waitlist.html", WaitlistView(wishes=[a_wish(), a_wish(offered=True)], room="user:1", offset=3, minutes=15)),
        ("offer.html", an_offer()),
        ("offer.html", an_offer("booked")),
        ("offer.html", an_offer("expired")),
        (
            "book.html",
            BookView(
                doctor=DOCTOR,
                slot=a_slot(),
                patient_name="Asha",
                idempotency_key="key",
                problem="slot-taken",
                alternatives=[a_slot()],
                errors=[FieldProblem(field="consent", code="consent", message="")],
            ),
        ),
        (
            "checkout.html",
            CheckoutView(payment=payment, consultation=a_consultation(paid=False), doctor=DOCTOR, room="r", offset=0),
        ),
        (
            "checkout.html",
            CheckoutView(payment=payment, consultation=a_consultation(), doctor=DOCTOR, room="r", offset=0),
        ),
        ("my_consultations.html", MyConsultationsView(coming=[card], past=[card])),
        ("my_consultations.html", MyConsultationsView(coming=[], past=[])),
        *(("consultation.html", a_meeting(state)) for state in ("unpaid", "checking", "waiting", "called", "ended")),
        ("login.html", LoginView(problem="wrong-password", demo_accounts=["patient1@example.org"])),
        ("login_second_step.html", SecondStepView(email="a@example.org")),
        ("register.html", RegisterView(errors=[FieldProblem(field="password", code="common", message="")])),
        ("check_mail.html", CheckMailView(email="a@example.org")),
        ("verify_mail.html", VerifyMailView(token="t")),
        ("forgot.html", ForgotView(sent=True)),
        ("forgot.html", ForgotView()),
        ("reset.html", ResetView(token="t")),
        ("invitation.html", InvitationView(token="t", name="Dr. Sen")),
        ("security.html", SecurityView(mfa_enabled=False, otpauth_url="otpauth://totp/a?secret=AAAA", secret="AAAA")),
        ("security.html", SecurityView(mfa_enabled=True, recovery_codes=["aaaa-bbbb"])),
        ("account.html", AccountView(email="a@example.org", name="Asha")),
        ("telling.html", TellingView(email="a@example.org", topics=[], push_key="")),
        (
            "telling.html",
            TellingView(
                email="a@example.org",
                phone="+919812345678",
                undeliverable=True,
                topics=[TellingItem(topic="reminders", mail=True, sms=False, push=True)],
                quiet_from="22:00",
                quiet_to="07:00",
                push_key="key",
                devices=[DeviceItem(id=UUID(int=9), created_at=NOW, this_one=True)],
            ),
        ),
        ("record.html", RecordView(prescriptions=[a_prescription()])),
        (
            "inbox.html",
            InboxView(messages=[InboxMessage(id="1", channel="mail", to="a", subject="s", text="t", sent_at=NOW)]),
        ),
        ("error.html", ProblemView(code="not-found", status=404, title="t", detail="d", request_id="r")),
        ("problem.html", ProblemDocView(code="slot-taken", status=409, title="t", text="x")),
        ("prescription.html", PrescriptionView(id=UUID(int=7), consultation_id=UUID(int=2), sheet=SHEET, pdf_urls={})),
        ("verify_prescription.html", VerifyPrescriptionView(code="A", verdict="genuine", doctor_name="Dr. Rao")),
    ]


def a_doctor_page(*slots: SlotItem) -> DoctorView:
    shown = slots or (a_slot(), a_slot(40, "BOOKED"))
    return DoctorView(
        doctor=DOCTOR,
        slots=shown,
        room=f"slots:{DOCTOR.id}",
        offset=4,
        wait_days=(NOW.date(), NOW.date() + timedelta(days=7)),
    )


def html(template: str, view: BaseModel, language: str = "en", zone: str = "Asia/Kolkata") -> str:
    frame = Frame(
        nonce="nonce",
        now=NOW,
        language="hi" if language == "hi" else "en",
        time_zone=zone,
        path="/here?a=1",
        user=ASHA,
        csrf="token",
        demo=True,
        plain_http=True,
    )
    return PAGES.render(template, view, frame)


class Outline(HTMLParser):
    """What a page is made of: its elements with their attributes, its open elements, its ids."""

    VOID = frozenset(["meta", "link", "input", "br", "hr", "img", "source", "path", "rect", "circle", "use"])

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("template", "view"), views(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_page_is_whole_and_keeps_the_policy(template: str, view: BaseModel, language: str) -> None:
    text = html(template, view, language)
    page = Outline(text)
    assert page.open == []
    assert page.all("html")[0]["lang"] == language
    assert len(page.all("main")) == 1
    assert len([1 for name, _ in page.elements if name == "h1"]) >= 1
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for script in page.all("script"):
        assert script["nonce"] == "nonce"
        assert (script["src"] or "").startswith("/static/js/")
    for _, attributes in page.elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
    for form in page.all("form"):
        if form.get("method") == "post":
            assert 'name="csrf_token" value="token"' in text


def test_every_template_is_rendered_here() -> None:
    assert {template for template, _ in views()} | {"base.html"} == {path.name for path in TEMPLATES.glob("*.html")}


def test_a_slot_says_weekday_date_time_zone_doctor_and_state() -> None:
    page = Outline(html("doctor.html", a_doctor_page()))
    free, taken = (button for button in page.all("button") if button.get("name") == "slot_id")
    assert free["aria-label"] == "11:10 free, Wednesday 25 November, IST, Dr. Meera Rao"
    assert "disabled" not in free
    assert taken["aria-label"] == "11:38 taken, Wednesday 25 November, IST, Dr. Meera Rao"
    assert "disabled" in taken
    hindi = Outline(html("doctor.html", a_doctor_page(), "hi"))
    assert next(button["aria-label"] for button in hindi.all("button") if button.get("name") == "slot_id") == (
        "11:10 खाली, बुधवार 25 नवंबर, IST, Dr. Meera Rao"
    )


def test_a_slot_that_has_begun_cannot_be_pressed() -> None:
    page = Outline(html("doctor.html", a_doctor_page(a_slot(-1))))
    (slot,) = (button for button in page.all("button") if button.get("name") == "slot_id")
    assert "disabled" in slot


@pytest.mark.parametrize(
    ("zone", "heading", "clock"),
    [("Asia/Kolkata", "Thursday 26 November", "01:30"), ("America/Los_Angeles", "Wednesday 25 November", "12:00")],
)
def test_the_zone_decides_the_day_of_a_slot(zone: str, heading: str, clock: str) -> None:
    at = datetime(2026, 11, 25, 20, 0, tzinfo=UTC)
    slot = SlotItem(
        id=uuid4(), doctor_id=DOCTOR.id, start_time=at, end_time=at + timedelta(minutes=20), status="AVAILABLE"
    )
    text = html("doctor.html", a_doctor_page(slot), zone=zone)
    (label,) = re.findall(r'name="slot_id"[^>]*aria-label="([^"]+)"', text)
    assert label.startswith(f"{clock} free, {heading}, ")
    assert f'id="day-2026-11-{26 if zone.startswith("Asia") else 25}"' in text
    assert dates.zone_name(zone, "en", NOW) in text


def test_what_people_typed_is_text() -> None:
    text = html("consultation.html", a_meeting("waiting", "<script>alert(1)</script>"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert" not in text


def test_a_consultation_page_keeps_its_contract() -> None:
    page = Outline(html("consultation.html", a_meeting("waiting")))
    (main,) = page.all("main")
    assert main["data-page"] == "consultation"
    assert main["data-state"] == "waiting"
    assert main["data-route"] == "direct"
    actions = [button.get("data-action") for button in page.all("button")]
    for action in ("check-in", "join", "leave", "mute", "camera", "share", "sound-on"):
        assert actions.count(action) == 1, action
    assert len([video for video in page.all("video") if "data-remote" in video]) == 1


def test_a_refused_form_says_it_in_the_page_s_language() -> None:
    text = html(
        "register.html", RegisterView(errors=[FieldProblem(field="password", code="common", message="x")]), "hi"
    )
    assert "यह पासवर्ड बहुत लोग रखते हैं।" in text
    assert 'aria-describedby="password-hint password-error"' in text


def test_a_problem_without_words_is_marked_as_english() -> None:
    view = ProblemView(code="teapot", status=418, title="A teapot.", detail="It cannot brew.", request_id="r")
    assert '<div class="stack tight" lang="en"><h1>A teapot.</h1>' in html("error.html", view, "hi")


def test_the_language_switch_stays_on_the_page() -> None:
    assert switch_language("/doctors/1?from=2&lang=en", "hi") == "/doctors/1?from=2&lang=hi"
    assert 'href="/here?a=1&amp;lang=hi"' in html("login.html", LoginView())


def test_money_names_and_marks() -> None:
    assert dates.money(49900, "INR", "en") == "₹499"
    assert dates.money(24950, "INR", "hi") == "₹249.50"
    assert dates.money(1234567800, "INR", "en") == "₹1,23,45,678"
    assert [initials(name) for name in ("Dr. Meera Rao", "Asha", "आशा वर्मा", "")] == ["MR", "A", "आव", "·"]
    path, width = qr_path("otpauth://totp/x")
    assert path.startswith("M")
    assert width > 20


def test_addresses_in_a_mail_can_be_pressed_and_nothing_else() -> None:
    assert with_links('<b> http://x.org/?a=1&b="') == (
        '&lt;b&gt; <a href="http://x.org/?a=1&amp;b=">http://x.org/?a=1&amp;b=</a>&#34;'
    )
