// The configuration's editor: numbered lines, mistakes beside them, nothing saved that was not checked.
import { complete } from "./completion.js";
import { ask, confirmed, say } from "./console.js";

const text = document.getElementById("text");
const lines = document.querySelector(".editor .lines");
const checked = document.getElementById("checked");
const save = document.querySelector("[data-save]");
let checkedText = null;

function number() {
  const wrong = new Map([...checked.querySelectorAll("[data-line]")].map((each) => [Number(each.dataset.line), "warning" in each.dataset ? "warn" : "bad"]));
  lines.replaceChildren(...text.value.split("\n").map((_, index) => {
    const line = document.createElement("div");
    line.textContent = index + 1;
    if (wrong.has(index + 1)) line.className = wrong.get(index + 1);
    return line;
  }));
  lines.scrollTop = text.scrollTop;
}

function changed() {
  save.disabled = text.value !== checkedText;
  number();
}

async function check() {
  const value = text.value;
  try {
    const answer = await ask("POST", "/configuration/preview", { text: value });
    checked.innerHTML = await answer.text();
    checkedText = checked.querySelector("[data-good]").dataset.good === "yes" ? value : null;
  } catch (error) { say(error.message, true); }
  changed();
}

function goTo(line) {
  const before = text.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  const end = text.value.indexOf("\n", before);
  text.focus();
  text.setSelectionRange(before, end < 0 ? text.value.length : end);
  text.scrollTop = (line - 6) * (text.scrollHeight / text.value.split("\n").length);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if ("check" in button.dataset) await check();
  else if (button.dataset.line) goTo(Number(button.dataset.line));
  else if (button.dataset.earlier) {
    try {
      text.value = await (await ask("GET", `/configuration/history/${button.dataset.earlier}`)).text();
      await check();
    } catch (error) { say(error.message, true); }
  } else if ("save" in button.dataset && await confirmed(button)) {
    try {
      await ask("POST", "/configuration/save", { text: text.value, base: text.dataset.base });
      say(text.dataset.saved);
      setTimeout(() => location.reload(), 1500);  // the node takes it up once the file has been still for a second
    } catch (error) { say(error.message, true); }
  }
});
text.addEventListener("input", changed);
text.addEventListener("scroll", () => { lines.scrollTop = text.scrollTop; });
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); check(); }
});
number();
complete(text, document.getElementById("completions")).catch((error) => say(error.message, true));
