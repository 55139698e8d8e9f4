/** The worker that shows pushes, also while no page is open. What it shows tells nothing of an illness. */

/**
 * @typedef {{ title: string, body: string, url: string, tag: string, lang: string }} Said
 * @typedef {Event & { data: { json(): Said } | null, waitUntil(done: Promise<unknown>): void }} PushedEvent
 * @typedef {Event & { notification: Notification, waitUntil(done: Promise<unknown>): void }} PressedEvent
 * @typedef {{ url: string, focus(): Promise<unknown> }} OpenPage
 * @typedef {object} Clients
 * @property {(of: { type: "window", includeUncontrolled: boolean }) => Promise<OpenPage[]>} matchAll
 * @property {(url: string) => Promise<unknown>} openWindow
 * @typedef {EventTarget & { registration: ServiceWorkerRegistration, clients: Clients, location: Location }} WorkerScope
 */

const scope = /** @type {WorkerScope} */ (/** @type {unknown} */ (self));

/** @param {PushedEvent} event */
function show(event) {
  const said = event.data?.json();
  if (!said) return;
  const { title, body, tag, lang, url } = said;
  event.waitUntil(
    scope.registration.showNotification(title, { body, tag, lang, icon: "/static/icon.svg", data: { url } }),
  );
}

/** @param {PressedEvent} event */
async function open(event) {
  const url = new URL(String(event.notification.data?.url ?? "/"), scope.location.origin);
  if (url.origin !== scope.location.origin) return;
  const pages = await scope.clients.matchAll({ type: "window", includeUncontrolled: true });
  const there = pages.find((page) => new URL(page.url).pathname === url.pathname);
  await (there ? there.focus() : scope.clients.openWindow(url.href));
}

scope.addEventListener("push", (event) => show(/** @type {PushedEvent} */ (event)));
scope.addEventListener("notificationclick", (event) => {
  const pressed = /** @type {PressedEvent} */ (event);
  pressed.notification.close();
  pressed.waitUntil(open(pressed));
});
