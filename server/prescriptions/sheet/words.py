"""What the paper says by itself, in each language a patient can read it in."""

from __future__ import annotations

from server.core.models import Model


class Words(Model):
    """The printed words of one language; `{}` is where a number or a name goes."""

    title: str
    continued: str
    kind: str
    registration: str
    patient: str
    age_and_sex: str
    years: str
    sexes: dict[str, str]
    not_given: str
    date: str
    consultation: str
    complaint: str
    diagnosis: str
    allergies: str
    medicines: str
    medicine: str
    dose: str
    frequency: str
    duration: str
    one_day: str
    days: str
    advice: str
    follow_up: str
    code: str
    check: str
    qr: str
    signed: str
    teleconsultation: str
    page: str


EN = Words(
    title="Prescription",
    continued="Prescription, continued",
    kind="Teleconsultation by video",
    registration="Registration no. {}",
    patient="Patient",
    age_and_sex="Age, sex",
    years="{} years",
    sexes={"female": "female", "male": "male", "other": "other"},
    not_given="not given",
    date="Date",
    consultation="Consultation no.",
    complaint="Complaint",
    diagnosis="Diagnosis",
    allergies="Allergies",
    medicines="Medicines",
    medicine="Medicine",
    dose="Dose",
    frequency="When",
    duration="For",
    one_day="1 day",
    days="{} days",
    advice="Advice",
    follow_up="Next visit",
    code="Verification code",
    check="Is it genuine? Scan the code, or open this address:",
    qr="QR code that opens the page where prescription {} is checked",
    signed="Signed electronically, {}",
    teleconsultation="This prescription was written in a teleconsultation by video, without an examination in person.",
    page="Page {} of {}",
)

HI = Words(
    title="नुस्ख़ा",
    continued="नुस्ख़ा, पिछले पृष्ठ से आगे",
    kind="वीडियो द्वारा टेलीपरामर्श",
    registration="पंजीकरण संख्या {}",
    patient="मरीज़",
    age_and_sex="आयु, लिंग",
    years="{} वर्ष",
    sexes={"female": "महिला", "male": "पुरुष", "other": "अन्य"},
    not_given="नहीं बताया गया",
    date="तारीख़",
    consultation="परामर्श संख्या",
    complaint="तकलीफ़",
    diagnosis="निदान",
    allergies="एलर्जी",
    medicines="दवाएँ",
    medicine="दवा",
    dose="मात्रा",
    frequency="कब",
    duration="कितने दिन",
    one_day="1 दिन",
    days="{} दिन",
    advice="सलाह",
    follow_up="अगली मुलाक़ात",
    code="जाँच कोड",
    check="क्या यह असली है? कोड स्कैन करें, या यह पता खोलें:",
    qr="QR कोड, जो नुस्ख़ा {} की जाँच का पन्ना खोलता है",
    signed="इलेक्ट्रॉनिक हस्ताक्षर, {}",
    teleconsultation="यह नुस्ख़ा टेलीपरामर्श में लिखा गया: डॉक्टर और मरीज़ वीडियो पर मिले, आमने-सामने जाँच नहीं हुई।",
    page="पृष्ठ {} / {}",
)
