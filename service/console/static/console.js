// What the pages need beside HTML: one question before each change, news by events, theme and language.
import { keepLive } from "./live.js";

const csrf = document.querySelector('meta[name="csrf-token"]').content;
const YEAR = "; path=/; max-age=31536000; samesite=strict";

/** Ask the server; what it refuses is thrown as its sentence. */
export async function ask(method, address, body, more = {}) {
  const headers = { "X-CSRF-Token": csrf, ...more };
  const json = body !== undefined && !(body instanceof Blob);
  if (json) headers["Content-Type"] = "application/json";
  const answer = await fetch(address, { method, headers, body: json ? JSON.stringify(body) : body });
  if (answer.ok) return answer;
  if (answer.status === 401 && csrf) location.assign("/sign-in");
  let said;
  try { said = await answer.json(); } catch { said = { sentence: `${answer.status} ${answer.statusText}` }; }
  throw new Error(said.said || said.sentence);
}

let fading;
/** One sentence in the corner, read out by screen readers. */
export function say(sentence, bad = false) {
  const place = document.getElementById("said");
  clearTimeout(fading);
  place.textContent = sentence;
  place.classList.toggle("bad", bad);
  place.hidden = false;
  fading = setTimeout(() => { place.hidden = true; }, bad ? 15000 : 5000);
}

const deeds = {
  first: (job) => ["PUT", `/api/v1/jobs/${job}/priority`, { priority: 1 }],
  priority: (job, _, __, number) => ["PUT", `/api/v1/jobs/${job}/priority`, { priority: number }],
  resend: (job, destination) => ["POST", `/api/v1/jobs/${job}/resend`, { destination }],
  grade: (_, chosen, { review, position }) => ["PUT", `/api/v1/quality/reviews/${review}/grade`, { grade: chosen, slice_position_mm: position === "" ? null : Number(position) }],
  acknowledge: (_, __, { structure, protocol, model, shadow }) => ["POST", "/api/v1/quality/acknowledge", { structure, protocol, model, is_shadow: shadow !== "" }],
  trial: (_, chosen, { series, protocol }) => ["POST", `/api/v1/series/${series || chosen}/trial`, { protocol: protocol || chosen }],
};

/** Every change is asked about once, whatever it is. */
export function confirmed(button) {
  const dialog = document.getElementById("ask");
  const { question, detail, yes, destinations, number, choice: asked } = button.dataset;
  dialog.querySelector("h2").textContent = question;
  dialog.querySelector("#ask-detail").textContent = detail;
  dialog.querySelector('[value="yes"]').textContent = yes;
  const choice = dialog.querySelector("#ask-destination");
  choice.hidden = destinations === undefined;
  const label = choice.querySelector("span");
  label.textContent = asked ?? label.dataset.destination;
  const names = [...new Set((destinations ?? "").split("\n").filter(Boolean))];
  choice.querySelector("select").replaceChildren(...names.map((name) => {
    const [value, shown = value] = name.split("\t");
    return new Option(shown, value);
  }));
  const field = dialog.querySelector("#ask-number");
  field.hidden = number === undefined;
  const input = field.querySelector("input");
  input.disabled = field.hidden;
  input.value = number ?? "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => {
    resolve(dialog.returnValue === "yes" ? { destination: choice.querySelector("select").value, number: Number(input.value) } : null);
  }, { once: true }));
}

async function change(button) {
  const answer = await confirmed(button);
  if (!answer) return;
  const { deed, job, done } = button.dataset;
  const wanted = deeds[deed]?.(job, answer.destination, button.dataset, answer.number) ?? ["POST", `/api/v1/jobs/${job}/${deed}`];
  try {
    const said = await (await ask(...wanted)).json();
    if (deed === "grade" || deed === "acknowledge") { location.reload(); return; }
    if (deed === "trial") { location.assign(`/case/${said.job}`); return; }
    say(done);
    document.dispatchEvent(new CustomEvent("changed-here", { detail: job }));
  } catch (error) { say(error.message, true); }
}

async function echo(button) {
  const place = document.getElementById(button.getAttribute("aria-describedby"));
  button.disabled = true;
  place.textContent = "…";
  try {
    const said = await (await ask("POST", `/api/v1/destinations/${encodeURIComponent(button.dataset.echo)}/echo`)).json();
    place.className = said.answers ? "tag good" : "tag bad";
    place.textContent = `${said.answers ? "✓" : "✗"} ${said.sentence}`;
  } catch (error) { place.textContent = error.message; }
  button.disabled = false;
}

async function signIn(form) {
  const wrong = document.getElementById("sign-in-wrong");
  wrong.textContent = "";
  try {
    await ask("POST", "/api/v1/session", { name: form.name.value, password: form.password.value });
    location.assign("/");
  } catch (error) {
    wrong.textContent = error.message;
    form.password.select();
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function nameTheme() {
  const button = document.querySelector("[data-theme-switch]");
  button.textContent = isDark() ? button.dataset.light : button.dataset.dark;
}

function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  document.cookie = `delineate_theme=${theme}${YEAR}`;
  nameTheme();
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.deed) await change(button);
  else if (button.dataset.echo) await echo(button);
  else if ("themeSwitch" in button.dataset) switchTheme();
  else if (button.dataset.language) {
    document.cookie = `delineate_language=${button.dataset.language}${YEAR}`;
    location.reload();
  } else if ("signOut" in button.dataset) {
    sessionStorage.clear();
    await ask("DELETE", "/api/v1/session").catch(() => {});
    location.assign("/sign-in");
  }
});

document.addEventListener("submit", (event) => {
  if (event.target.id === "sign-in") { event.preventDefault(); signIn(event.target); }
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, dialog");
  const field = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (field && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); field.focus(); }
});

nameTheme();
if (document.getElementById("sign-in")) sessionStorage.clear();  // what the person looked for whose session has ended
if (document.getElementById("live")) keepLive(ask);
