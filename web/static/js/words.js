/** The sentences that scripts say, in the page's language. The same tone as the templates: what is, and what to do. */

/** @typedef {keyof typeof ENGLISH} Word */

const ENGLISH = {
  taken: "taken",
  justTaken: "just taken",
  past: "past",
  chosen: "chosen",
  freeState: "free",
  free: "{count} free",
  slotLostNext: "{time} has just been taken. The next free time is {next}.",
  slotLost: "{time} has just been taken. There is no other free time in these days.",
  slotsLostNext: "{count} times have just been taken. The next free time is {next}.",
  slotsLost: "{count} times have just been taken. There is no other free time in these days.",
  choiceLost: "Your choice is cleared; choose another time.",
  chooseTime: "Choose a time",
  offline: "The connection is gone. We try again by ourselves; nothing that you wrote is lost. What you see is as of {time}.",
  backOnline: "Connected again. Everything is up to date.",
  loggedOut: "You are logged out here. Load the page again to log in.",
  minutesLeft: "{count} minutes left.",
  minuteLeft: "1 minute left.",
  holdOver: "The time is no longer held.",
  working: "One moment: this is being done.",
  asBank: "Asking the bank.",
  place1: "You are first now.",
  place2: "You are second.",
  place3: "You are third.",
  place4: "You are fourth.",
  place5: "You are fifth.",
  placeMore: "You are number {count}.",
  checkedIn: "You are checked in.",
  before1: "One person is before you.",
  beforeMore: "{count} people are before you.",
  stayNear: "Please stay near the phone.",
  doctorKnows: "{doctor} knows that you are here.",
  turnMoved: "Your turn moved to {from} to {to}.",
  between: "between {from} and {to}",
  about: "about {time}",
  guess: "Learned from the last consultations: of ten people, eight are called within this time.",
  late: "{doctor} is about {minutes} minutes late, and goes on at about {time}.",
  emergency: "{doctor} was called to an emergency, and goes on at about {time}.",
  technical: "{doctor} has a technical problem, and goes on at about {time}.",
  break: "{doctor} takes a short break, and goes on at about {time}.",
  readByOther: "read",
  beingChecked: "being checked",
  blockedFile: "blocked: the virus scanner found something",
  fileSending: "Sending {name}",
  fileSent: "{name} is sent.",
  fileHeic: "Pictures in HEIC cannot be shown everywhere: send it as JPEG.",
  fileKind: "Only pictures (JPEG, PNG, WebP) and PDF can be sent.",
  fileLarge: "This file is larger than 10 MB.",
  fileMany: "No more files can be sent here.",
  fileFailed: "The file was not sent. Try again.",
  unsure: "We cannot say yet how long it takes: it depends on the talks before you with {doctor}.",
  lineDoctor: "doctor",
  lineNext: "next",
  lineYou: "you",
  titleWaiting: "{place} Waiting room",
  titleCalled: "{doctor} is calling you",
  calling: "{doctor} is calling you.",
  endedCompleted: "Your consultation is over.",
  endedCompletedWhy: "What was written stays here, and in your record.",
  endedByDoctor: "{doctor} cannot come.",
  endedByDoctorWhy: "The whole fee comes back. Shall we look for another time, or another doctor?",
  endedByClinic: "The clinic cancelled this consultation.",
  endedByClinicWhy: "The whole fee comes back. Shall we look for another time?",
  endedByPatient: "This consultation was cancelled.",
  endedByPatientWhy: "There is nothing to do. You can book another time whenever you like.",
  endedNoShow: "You were missed.",
  endedNoShowWhy: "Nobody was here when the doctor called. Book another time, or phone the clinic.",
  stillOpen: "The consultation goes on.",
  leftCall: "You left the call.",
  leftCallWhy: "The consultation goes on: press “Join” to come back.",
  pushDenied: "This browser does not let us notify you. Allow it in the browser’s settings for this page, then press again.",
  pushFailed: "That did not work. Please try again in a moment.",
  pushUnknown: "This browser’s notifications go by a service that we do not use. Mail and SMS reach you all the same.",
  typing: "{name} is writing",
  newMessages: "{count} new",
  notSent: "not sent",
  sending: "sending",
  sendAgain: "Send again",
  chatClosed: "This cannot be written here any more.",
  count: "{count} of {most}",
};

/** @type {Record<Word, string>} */
const HINDI = {
  taken: "भरा हुआ",
  justTaken: "अभी भरा",
  past: "बीत गया",
  chosen: "चुना हुआ",
  freeState: "खाली",
  free: "{count} खाली",
  slotLostNext: "{time} का समय अभी-अभी किसी ने ले लिया। अगला खाली समय {next} है।",
  slotLost: "{time} का समय अभी-अभी किसी ने ले लिया। इन दिनों में और कोई समय खाली नहीं है।",
  slotsLostNext: "{count} समय अभी-अभी भर गए। अगला खाली समय {next} है।",
  slotsLost: "{count} समय अभी-अभी भर गए। इन दिनों में और कोई समय खाली नहीं है।",
  choiceLost: "आपका चुना हुआ समय हट गया; कोई और समय चुनें।",
  chooseTime: "समय चुनें",
  offline: "इंटरनेट चला गया है। हम ख़ुद फिर जोड़ रहे हैं; आपका लिखा हुआ बचा है। जो दिख रहा है वह {time} का है।",
  backOnline: "फिर जुड़ गए। सब कुछ ताज़ा है।",
  loggedOut: "यहाँ आपका लॉग-इन ख़त्म हो गया है। फिर लॉग-इन के लिए पेज दोबारा खोलें।",
  minutesLeft: "{count} मिनट बाक़ी।",
  minuteLeft: "1 मिनट बाक़ी।",
  holdOver: "यह समय अब रुका हुआ नहीं है।",
  working: "एक पल: काम हो रहा है।",
  asBank: "बैंक से पूछ रहे हैं।",
  place1: "अब आपका नंबर पहला है।",
  place2: "आपका नंबर दूसरा है।",
  place3: "आपका नंबर तीसरा है।",
  place4: "आपका नंबर चौथा है।",
  place5: "आपका नंबर पाँचवाँ है।",
  placeMore: "आपका नंबर {count} है।",
  checkedIn: "आपके आने की ख़बर पहुँच गई।",
  before1: "आपसे पहले एक मरीज़ है।",
  beforeMore: "आपसे पहले {count} मरीज़ हैं।",
  stayNear: "फ़ोन के पास रहें।",
  doctorKnows: "{doctor} को आपके आने की ख़बर है।",
  turnMoved: "आपकी बारी अब {from} से {to} के बीच है।",
  between: "{from} से {to} के बीच",
  about: "क़रीब {time}",
  guess: "पिछली मुलाक़ातों से सीखा हुआ: दस में से आठ लोगों को इसी समय में बुलाया जाता है।",
  late: "{doctor} को क़रीब {minutes} मिनट की देर है; क़रीब {time} पर आगे बढ़ेंगे।",
  emergency: "{doctor} को एक आपात मरीज़ के पास जाना पड़ा; क़रीब {time} पर आगे बढ़ेंगे।",
  technical: "{doctor} की तरफ़ तकनीकी दिक़्क़त है; क़रीब {time} पर आगे बढ़ेंगे।",
  break: "{doctor} थोड़ा विराम ले रहे हैं; क़रीब {time} पर आगे बढ़ेंगे।",
  readByOther: "पढ़ लिया गया",
  beingChecked: "जाँच हो रही है",
  blockedFile: "रोकी गई: वायरस जाँच में कुछ मिला",
  fileSending: "{name} भेजी जा रही है",
  fileSent: "{name} भेज दी गई।",
  fileHeic: "HEIC तस्वीर हर जगह नहीं दिखती: उसे JPEG बनाकर भेजें।",
  fileKind: "सिर्फ़ तस्वीर (JPEG, PNG, WebP) और PDF भेज सकते हैं।",
  fileLarge: "यह फ़ाइल 10 MB से बड़ी है।",
  fileMany: "यहाँ अब और फ़ाइलें नहीं भेजी जा सकतीं।",
  fileFailed: "फ़ाइल नहीं गई। फिर कोशिश करें।",
  unsure: "अभी बताना मुश्किल है कि कितना समय लगेगा: यह {doctor} की आपसे पहले की बातचीत पर है।",
  lineDoctor: "डॉक्टर",
  lineNext: "अगला",
  lineYou: "आप",
  titleWaiting: "{place} वेटिंग रूम",
  titleCalled: "{doctor} का बुलावा",
  calling: "{doctor} का बुलावा आया है।",
  endedCompleted: "आपकी बातचीत पूरी हुई।",
  endedCompletedWhy: "जो लिखा गया वह यहीं और आपके रिकॉर्ड में रहेगा।",
  endedByDoctor: "{doctor} का आना आज नहीं हो पाएगा।",
  endedByDoctorWhy: "पूरी फ़ीस वापस होगी। दूसरा समय या दूसरे डॉक्टर देखें?",
  endedByClinic: "क्लिनिक ने यह अपॉइंटमेंट रद्द किया है।",
  endedByClinicWhy: "पूरी फ़ीस वापस होगी। दूसरा समय देखें?",
  endedByPatient: "यह अपॉइंटमेंट रद्द हुआ।",
  endedByPatientWhy: "कुछ करना बाक़ी नहीं है। जब चाहें दूसरा समय लें।",
  endedNoShow: "आपसे मुलाक़ात नहीं हो पाई।",
  endedNoShowWhy: "बुलावे के समय यहाँ कोई नहीं था। दूसरा समय लें या क्लिनिक को फ़ोन करें।",
  stillOpen: "बातचीत जारी है।",
  leftCall: "आपने कॉल छोड़ दी।",
  leftCallWhy: "अपॉइंटमेंट जारी है: लौटने के लिए “जुड़ें” दबाएँ।",
  pushDenied: "यह ब्राउज़र सूचनाएँ दिखाने नहीं देता। ब्राउज़र की सेटिंग में इस पेज को अनुमति दें, फिर दोबारा दबाएँ।",
  pushFailed: "यह नहीं हो पाया। थोड़ी देर में फिर कोशिश करें।",
  pushUnknown: "इस ब्राउज़र की सूचनाएँ ऐसी सेवा से जाती हैं जो यहाँ नहीं चलती। मेल और SMS आपको मिलते रहेंगे।",
  typing: "{name} की तरफ़ से लिखा जा रहा है",
  newMessages: "{count} नए",
  notSent: "नहीं भेजा गया",
  sending: "भेजा जा रहा है",
  sendAgain: "फिर भेजें",
  chatClosed: "यहाँ अब नहीं लिखा जा सकता।",
  count: "{most} में से {count}",
};

const TABLE = document.documentElement.lang === "hi" ? HINDI : ENGLISH;

/**
 * A sentence in the page's language, its places filled.
 * @param {Word} word
 * @param {Record<string, string | number>} [values]
 */
export function say(word, values = {}) {
  return TABLE[word].replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

const page = document.documentElement;
// Western digits in Hindi too, as the templates have them.
const locale = `${page.lang || "en"}-IN-u-nu-latn`;
const timeZone = page.dataset.zone || undefined;
const clockFormat = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone });

/**
 * Hours and minutes in the reader's zone.
 * @param {string | number} at an instant
 */
export function clock(at) {
  return clockFormat.format(new Date(at));
}

/**
 * An icon of the sprite.
 * @param {string} name
 */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/**
 * Put a sentence with its sign into a status line; the same sentence is not said twice.
 * @param {Element | null} line
 * @param {string} sentence empty clears it
 * @param {string} [sign] empty for none
 */
export function tell(line, sentence, sign = "info") {
  if (!line || line.textContent === sentence) return;
  const words = document.createElement("span");
  words.textContent = sentence;
  line.replaceChildren(...(sentence ? (sign ? [icon(sign), words] : [words]) : []));
}
