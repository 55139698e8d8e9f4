/** The sentences of a call, in the page's language. They say what is, what it means, and what can be done. */

/** @typedef {keyof typeof ENGLISH} Word */

const ENGLISH = {
  connecting: "Connecting. Your voice and picture go out as soon as the other side is there.",
  waiting: "The other side is not here yet. Please stay; the call begins by itself.",
  left: "The other side has left the call. If they come back, it goes on by itself.",
  reconnecting: "The line broke off. We are dialling again; please stay here.",
  phone: "It does not work by video now. Go on by phone: {phone}. We keep dialling meanwhile.",
  voiceOnly: "Voice only, so that you hear each other well. The picture comes back by itself.",
  soundBlocked: "Your browser holds the sound back. Press “Sound on”.",
  takenOver: "This call goes on in another window of yours. Press “Join” to bring it here.",
  youLeft: "Your camera and microphone are off. Press “Join” to come back while the consultation lasts.",
  cannotJoin: "Video cannot be connected for a moment. We try again by ourselves; the chat works.",
  full: "This call is full.",
  otherMuted: "The other side has the microphone off.",
  otherCameraOff: "The other side has the camera off.",
  otherScreen: "You see the other side’s screen.",
  good: "Good line",
  fair: "Fair line",
  poor: "Weak line",
  gone: "Line gone",
  pathDirect: "Direct, private line. Nobody records.",
  pathTurn: "Through a relay, still sealed end to end. Nobody records.",
  insecure: "This page was not opened over a secure address, so the browser gives no camera or microphone. You can listen and write.",
  bothMissing: "No camera and no microphone were found. You can listen and write. Plug one in, then press “Try again”.",
  cameraMissing: "No camera was found. You can talk and write. Plug one in, then press “Try again”.",
  microphoneMissing: "No microphone was found. You are seen but not heard; you can write. Plug one in, then press “Try again”.",
  bothDenied: "Your browser keeps camera and microphone closed. Press the lock beside the address and allow them, then press “Try again”. Until then you can listen and write.",
  cameraDenied: "Your browser keeps the camera closed. Press the lock beside the address and allow it, then press “Try again”, or go on with voice only.",
  microphoneDenied: "Your browser keeps the microphone closed. Press the lock beside the address and allow it, then press “Try again”. Until then you can write.",
  bothBusy: "Another app has camera and microphone. Close it and press “Try again”. Until then you can listen and write.",
  cameraBusy: "Another app has the camera. Close it and press “Try again”, or go on with voice only.",
  microphoneBusy: "Another app has the microphone. Close it and press “Try again”. Until then you can write.",
  shareFailed: "The screen could not be shared. Your camera is as it was.",
  tryAgain: "Try again",
  titleTakenOver: "The call is in another window.",
  titleRefused: "This call cannot be joined.",
  checkWorks: "works",
  checkFailed: "does not work",
  checkAsking: "your browser asks",
  asking: "Your browser asks for camera and microphone. Press “Allow”.",
};

/** @type {Record<Word, string>} */
const HINDI = {
  connecting: "जोड़ रहे हैं। दूसरी तरफ़ से जुड़ते ही आपकी आवाज़ और तस्वीर जाएगी।",
  waiting: "दूसरी तरफ़ अभी कोई नहीं है। यहीं रहें; बात अपने-आप शुरू होगी।",
  left: "दूसरी तरफ़ से कॉल छोड़ दी गई है। वापसी पर बात अपने-आप आगे चलेगी।",
  reconnecting: "लाइन टूट गई। हम फिर जोड़ रहे हैं; यहीं रहें।",
  phone: "अभी वीडियो नहीं चल रहा। फ़ोन पर बात करें: {phone}। हम जोड़ने की कोशिश जारी रखेंगे।",
  voiceOnly: "अभी सिर्फ़ आवाज़, ताकि बात साफ़ सुनाई दे। तस्वीर अपने-आप लौटेगी।",
  soundBlocked: "ब्राउज़र ने आवाज़ रोक रखी है। “आवाज़ चालू करें” दबाएँ।",
  takenOver: "यह कॉल आपकी दूसरी खिड़की में चल रही है। यहाँ लाने के लिए “जुड़ें” दबाएँ।",
  youLeft: "आपका कैमरा और माइक बंद हैं। परामर्श चलने तक “जुड़ें” दबाकर लौट सकते हैं।",
  cannotJoin: "अभी वीडियो नहीं जुड़ रहा। हम ख़ुद फिर कोशिश कर रहे हैं; लिखकर बात हो सकती है।",
  full: "इस कॉल में और जगह नहीं है।",
  otherMuted: "दूसरी तरफ़ माइक बंद है।",
  otherCameraOff: "दूसरी तरफ़ कैमरा बंद है।",
  otherScreen: "आपको दूसरी तरफ़ की स्क्रीन दिख रही है।",
  good: "लाइन अच्छी है",
  fair: "लाइन ठीक है",
  poor: "लाइन कमज़ोर है",
  gone: "लाइन टूटी है",
  pathDirect: "सीधी, निजी लाइन। कोई रिकॉर्डिंग नहीं।",
  pathTurn: "रिले से होकर, फिर भी दोनों सिरों के बीच बंद। कोई रिकॉर्डिंग नहीं।",
  insecure: "यह पेज सुरक्षित पते से नहीं खुला, इसलिए ब्राउज़र कैमरा और माइक नहीं देता। आप सुन और लिख सकते हैं।",
  bothMissing: "कैमरा और माइक नहीं मिले। आप सुन और लिख सकते हैं। लगाकर “फिर कोशिश करें” दबाएँ।",
  cameraMissing: "कैमरा नहीं मिला। आप बोल और लिख सकते हैं। लगाकर “फिर कोशिश करें” दबाएँ।",
  microphoneMissing: "माइक नहीं मिला। आप दिखते हैं, पर सुनाई नहीं देते; लिख सकते हैं। लगाकर “फिर कोशिश करें” दबाएँ।",
  bothDenied: "ब्राउज़र ने कैमरा और माइक बंद रखे हैं। पते के पास ताले को दबाकर अनुमति दें, फिर “फिर कोशिश करें” दबाएँ। तब तक आप सुन और लिख सकते हैं।",
  cameraDenied: "ब्राउज़र ने कैमरा बंद रखा है। पते के पास ताले को दबाकर अनुमति दें, फिर “फिर कोशिश करें” दबाएँ, या सिर्फ़ आवाज़ से बात करें।",
  microphoneDenied: "ब्राउज़र ने माइक बंद रखा है। पते के पास ताले को दबाकर अनुमति दें, फिर “फिर कोशिश करें” दबाएँ। तब तक आप लिख सकते हैं।",
  bothBusy: "कैमरा और माइक दूसरे ऐप में चल रहे हैं। उसे बंद करके “फिर कोशिश करें” दबाएँ। तब तक आप सुन और लिख सकते हैं।",
  cameraBusy: "कैमरा दूसरे ऐप में चल रहा है। उसे बंद करके “फिर कोशिश करें” दबाएँ, या सिर्फ़ आवाज़ से बात करें।",
  microphoneBusy: "माइक दूसरे ऐप में चल रहा है। उसे बंद करके “फिर कोशिश करें” दबाएँ। तब तक आप लिख सकते हैं।",
  shareFailed: "स्क्रीन नहीं दिखाई जा सकी। आपका कैमरा पहले जैसा है।",
  tryAgain: "फिर कोशिश करें",
  titleTakenOver: "कॉल दूसरी खिड़की में है।",
  titleRefused: "इस कॉल में जुड़ना नहीं हो पाया।",
  checkWorks: "चल रहा है",
  checkFailed: "नहीं चल रहा",
  checkAsking: "ब्राउज़र पूछ रहा है",
  asking: "ब्राउज़र कैमरा और माइक की अनुमति माँग रहा है। “अनुमति दें” दबाएँ।",
};

/**
 * A sentence in the page's language, with its {names} filled in.
 * @param {Word} word
 * @param {Record<string, string>} [values]
 * @returns {string}
 */
export function say(word, values = {}) {
  const sentence = (document.documentElement.lang.startsWith("hi") ? HINDI : ENGLISH)[word];
  return sentence.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** @type {Record<string, Record<"both" | "audio" | "video", Word>>} */
const TROUBLE_WORDS = {
  missing: { both: "bothMissing", audio: "microphoneMissing", video: "cameraMissing" },
  denied: { both: "bothDenied", audio: "microphoneDenied", video: "cameraDenied" },
  busy: { both: "bothBusy", audio: "microphoneBusy", video: "cameraBusy" },
  insecure: { both: "insecure", audio: "insecure", video: "insecure" },
};

/**
 * What to say of microphone and camera that did not come; null if both did.
 * @param {import("./devices.js").Trouble | null} audio
 * @param {import("./devices.js").Trouble | null} video
 * @returns {Word | null}
 */
export function troubleWord(audio, video) {
  const which = audio && video ? "both" : audio ? "audio" : "video";
  const trouble = audio ?? video;
  return trouble ? (TROUBLE_WORDS[trouble]?.[which] ?? null) : null;
}
