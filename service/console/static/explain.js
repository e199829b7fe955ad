// A dropped file is asked about: its beginning goes to the node, which keeps nothing of it.
import { ask, say } from "./console.js";

const FIRST_BYTES = 1900000;  // headers come first; pixels are not needed
const form = document.getElementById("explain");

async function explain(file) {
  if (!file) return;
  try {
    const answer = await ask("POST", "/explain", file.slice(0, FIRST_BYTES), { "X-Calling-AE": form.calling.value.trim() });
    const said = await answer.text();
    document.getElementById("explained").innerHTML = said;
    document.getElementById("explain-none").hidden = said.trim() !== "";
  } catch (error) { say(error.message, true); }
}

form.addEventListener("change", () => explain(form.file.files[0]));
form.addEventListener("submit", (event) => { event.preventDefault(); explain(form.file.files[0]); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => { event.preventDefault(); explain(event.dataTransfer.files[0]); });
