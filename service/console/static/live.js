// Keeps what is open as it is at the node: told what changed by server-sent events, asks for that anew.
const REFRESH = { "X-Refresh": "1" };  // nobody sits here for that reason: the session may still end
const SILENCE_MS = 30000;

/** Put new rows in place, leaving alone what did not change: focus, selection and opened parts stay. */
function place(body, html, news) {
  const fresh = document.createElement("tbody");
  fresh.innerHTML = html;
  const focused = document.activeElement?.id;
  const rows = [...fresh.children].map((row) => {
    const old = document.getElementById(row.id);
    if (old && body.contains(old)) {
      row.querySelectorAll("details").forEach((each) => { each.open = document.getElementById(each.id)?.open ?? false; });
      return old.isEqualNode(row) ? old : row;
    }
    if (news) row.classList.add("fresh");
    return row;
  });
  body.replaceChildren(...rows);
  if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

async function refreshList(ask, form) {
  const wanted = Object.fromEntries(new FormData(form));
  const news = form.dataset.asked === JSON.stringify(wanted);  // not rows that only another filter shows
  form.dataset.asked = JSON.stringify(wanted);
  const answer = await ask("POST", form.dataset.liveList, wanted, REFRESH);
  place(document.getElementById("rows"), await answer.text(), news);
}

async function refreshParts(ask) {
  const answer = await ask("GET", location.href, undefined, REFRESH);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const focused = document.activeElement?.id;
  for (const old of document.querySelectorAll("[data-live]")) {
    const anew = page.getElementById(old.id);
    if (anew && !old.isEqualNode(anew)) old.replaceWith(document.adoptNode(anew));
  }
  if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

/** One refresh at a time; what changes meanwhile asks for one more after it. */
function oneAtATime(refresh) {
  let running = false, again = false;
  return async () => {
    if (running) { again = true; return; }
    running = true;
    try { do { again = false; await refresh(); } while (again); }
    catch { /* the next event tries again */ } finally { running = false; }
  };
}

// What the list is filtered by stays for this tab until it is closed or its person signs out; never in an address.
const KEPT = "delineate.filter";

function keepFilter(form) {
  sessionStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(new FormData(form))));
}

/** Whether there was something to put back. */
function putFilterBack(form) {
  let kept;
  try { kept = JSON.parse(sessionStorage.getItem(KEPT)); } catch { return false; }
  for (const [name, value] of Object.entries(kept ?? {})) {
    const field = form.elements.namedItem(name);
    if (field) field.value = value;
  }
  return Object.values(kept ?? {}).some((value) => value !== "");
}

export function keepLive(ask) {
  const mark = document.getElementById("live");
  const form = document.querySelector("[data-live-list]");
  const refresh = oneAtATime(() => (form ? refreshList(ask, form) : refreshParts(ask)));
  const concerns = (keys) => form || keys.some((key) => document.querySelector(`[data-live="${CSS.escape(key)}"]`));
  const show = (on) => {
    mark.classList.toggle("on", on);
    mark.querySelector(".live-text").textContent = on ? mark.dataset.on : mark.dataset.off;
  };
  let source, heard = 0, fresh = false;
  const listen = () => {
    source?.close();
    source = new EventSource("/events");
    heard = Date.now();
    source.onopen = () => { heard = Date.now(); fresh = true; };
    source.onerror = () => show(false);
    source.addEventListener("alive", () => {
      heard = Date.now();
      show(true);
      if (fresh) refresh();  // what changed before anybody listened
      fresh = false;
    });
    source.addEventListener("changed", (event) => {
      heard = Date.now();
      if (concerns(JSON.parse(event.data).keys)) refresh();
    });
  };
  listen();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) { listen(); refresh(); } });
  setInterval(() => {  // closed for good, or silent although it looks open
    if (source.readyState === EventSource.CLOSED || Date.now() - heard > SILENCE_MS) { show(false); listen(); }
    if (document.querySelector("#rows progress, [data-live] progress")) refresh();  // no event tells how far it is
  }, 3000);
  document.addEventListener("changed-here", refresh);
  if (!form) return;
  form.dataset.asked = JSON.stringify(Object.fromEntries(new FormData(form)));
  if (putFilterBack(form)) refresh();
  let typing;
  form.addEventListener("input", () => { keepFilter(form); clearTimeout(typing); typing = setTimeout(refresh, 250); });
  form.addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
  form.addEventListener("reset", () => setTimeout(() => { keepFilter(form); refresh(); }));
}
