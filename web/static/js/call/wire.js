/** The types of what goes over the socket during a call. */

/** @typedef {{ audio: boolean, video: boolean, screen: boolean }} MediaShown */
/** @typedef {{ id: string, role: string, epoch: number, here?: boolean, media?: MediaShown | null }} PeerView */
/**
 * @typedef {object} JoinedCall
 * @property {string} id
 * @property {number} epoch the call's
 * @property {number} [joined] the epoch in which this page came in
 * @property {boolean} polite
 * @property {"direct" | "turn" | "hop" | "livekit"} path
 * @property {RTCIceServer[]} ice_servers
 * @property {PeerView[]} peers
 */
/** @typedef {{ from: string, epoch: number, seq: number, description: RTCSessionDescriptionInit }} DescribeSignal */
/** @typedef {{ from: string, epoch: number, candidates: RTCIceCandidateInit[] }} CandidateSignal */
/** @typedef {{ from: string } & MediaShown} MediaSignal */
/** @typedef {{ epoch: number, peers: PeerView[], left?: string | null }} PeersSignal */
/** @typedef {{ type?: string, title?: string, detail?: string, status?: number }} Problem */

export {};
