// What may be typed here: keys and words of the configuration's schema, in a small list under the caret.
import { ask } from "./console.js";

const KEY = /^(\s*)((?:- +)*)("[^"]*"|[^\s:#"'-][^:#]*?)\s*:(?:\s|$)/;
const MOST = 12;

/** A line's key and where it and its dash stand; null if it has none. */
function keyOf(line) {
  const found = KEY.exec(line);
  return found && { dash: found[2] ? found[1].length : null, column: found[1].length + found[2].length, key: found[3].replaceAll('"', "") };
}

/** The path to what holds the key at `column` of the last line, from the keys above it by their indentation. */
export function pathAbove(lines, column, dash) {
  const path = dash === null ? [] : [0];
  let limit = dash === null ? column : dash + 1, sibling = dash === null;
  for (let n = lines.length - 1; n >= 0 && limit > 0; n -= 1) {
    const above = keyOf(lines[n]);
    if (!above) continue;
    if (above.column < limit) {
      path.unshift(above.key);
      [limit, sibling] = [above.column, true];
    } else if (!(sibling && above.column === limit && above.dash !== null)) continue;
    if (above.dash !== null) {  // its first key begins an entry of a list, in which the key below it lies
      path.unshift(0);
      [limit, sibling] = [above.dash + 1, false];
    }
  }
  return path;
}

/** Keys beside the one at `column`, above and below it. */
function beside(above, below, column, dash) {
  const found = new Set();
  const take = (lines, ends) => {
    for (const line of lines) {
      const each = keyOf(line);
      if (!each) continue;
      if (each.column < column || (ends === "before" && each.column === column && each.dash !== null)) return;
      if (each.column === column) found.add(each.key);
      if (ends === "after" && each.column === column && each.dash !== null) return;
    }
  };
  if (dash === null) take([...above].reverse(), "after");
  take(below, "before");
  return found;
}

/** The parts of the schema that a node stands for: what it refers to, and each of its alternatives. */
function parts(schema, node) {
  if (!node || node === true) return [];
  if (node.$ref) return parts(schema, schema.$defs[node.$ref.split("/").pop()]);
  return node.anyOf ? node.anyOf.flatMap((each) => parts(schema, each)) : [node];
}

function schemaAt(schema, path) {
  let found = parts(schema, schema);
  for (const step of path) {
    found = found.flatMap((node) => {
      const named = node.properties?.[step] ?? Object.values(node.patternProperties ?? {})[0] ?? node.additionalProperties;
      return parts(schema, step === 0 ? node.items : named);
    });
  }
  return found;
}

/** What may stand at the caret: `{ from, offers: [{ shown, says, put }] }`, or null. */
export function offersAt(schema, text, caret) {
  const above = text.slice(0, caret).split("\n"), line = above.pop();
  const [rest, ...below] = text.slice(caret).split("\n");
  if (/\S/.test(rest)) return null;
  const value = /^(\s*)((?:- +)*)([\w.-]+): +([\w-]*)$/.exec(line);
  const key = value ?? /^(\s*)((?:- +)*)([\w.-]*)$/.exec(line);
  if (!key) return null;
  const dash = key[2] ? key[1].length : null, column = key[1].length + key[2].length;
  const at = schemaAt(schema, pathAbove(above, column, dash));
  if (value) {
    const words = schemaAt(schema, [...pathAbove(above, column, dash), value[3]]).flatMap((node) => node.enum ?? (node.type === "boolean" ? ["true", "false"] : []));
    return { from: caret - value[4].length, offers: words.filter((each) => String(each).startsWith(value[4]) && each !== value[4]).map((each) => ({ shown: String(each), says: "", put: String(each) })) };
  }
  const there = beside(above, below, column, dash);
  const offers = at.flatMap((node) => Object.entries(node.properties ?? {}))
    .filter(([name]) => name.startsWith(key[3]) && !there.has(name))
    .map(([name, node]) => {
      const holds = parts(schema, node).some((each) => ["object", "array"].includes(each.type));
      return { shown: name, says: node.description ?? "", put: holds ? `${name}:` : `${name}: ` };
    });
  return { from: caret - key[3].length, offers };
}

/** Offer while somebody types in `area`; Ctrl+Space asks for it. */
export async function complete(area, list) {
  const schema = await (await ask("GET", "/configuration/schema")).json();
  const style = getComputedStyle(area);
  const pen = document.createElement("canvas").getContext("2d");
  let offered = null, chosen = 0;

  const close = () => {
    offered = null;
    list.hidden = true;
    area.removeAttribute("aria-activedescendant");
  };
  const choose = (index) => {
    chosen = (index + offered.offers.length) % offered.offers.length;
    [...list.children].forEach((each, n) => each.setAttribute("aria-selected", String(n === chosen)));
    list.children[chosen].scrollIntoView({ block: "nearest" });
    area.setAttribute("aria-activedescendant", list.children[chosen].id);
  };
  const place = () => {
    const lines = area.value.slice(0, offered.from).split("\n");
    pen.font = style.font;
    const height = parseFloat(style.lineHeight), top = area.offsetTop + parseFloat(style.paddingTop) + lines.length * height - area.scrollTop;
    const room = area.offsetTop + area.offsetHeight - list.offsetHeight;
    list.style.top = `${top > room ? top - height - list.offsetHeight : top}px`;
    const left = area.offsetLeft + parseFloat(style.paddingLeft) + pen.measureText(lines.at(-1)).width - area.scrollLeft;
    list.style.left = `${Math.max(area.offsetLeft, Math.min(left, area.offsetLeft + area.offsetWidth - list.offsetWidth))}px`;
  };
  const offer = (asked) => {
    const caret = area.selectionStart;
    offered = caret === area.selectionEnd ? offersAt(schema, area.value, caret) : null;
    if (!offered?.offers.length || (!asked && offered.from === caret)) { close(); return; }
    offered.offers.length = Math.min(offered.offers.length, MOST * 4);
    list.replaceChildren(...offered.offers.map(({ shown, says }, n) => {
      const option = document.createElement("li"), name = document.createElement("code"), what = document.createElement("span");
      Object.assign(option, { id: `completion-${n}`, role: "option" });
      name.textContent = shown;
      what.textContent = says;
      option.append(name, what);
      return option;
    }));
    list.hidden = false;
    choose(0);
    place();
  };
  const accept = () => {
    const { from, offers } = offered, { put } = offers[chosen];
    area.setSelectionRange(from, area.selectionStart);
    close();
    if (!document.execCommand("insertText", false, put)) {  // which can be undone, unlike this
      area.setRangeText(put, from, area.selectionEnd, "end");
      area.dispatchEvent(new Event("input"));
    }
    if (put.endsWith(": ")) offer(true); else close();
  };

  area.setAttribute("aria-autocomplete", "list");
  area.setAttribute("aria-controls", list.id);
  area.addEventListener("input", (event) => { if (event.inputType?.startsWith("delete") && !offered) return; offer(false); });
  for (const each of ["blur", "scroll", "pointerdown"]) area.addEventListener(each, close);
  area.addEventListener("keydown", (event) => {
    if (event.key === " " && event.ctrlKey) { event.preventDefault(); offer(true); return; }
    if (!offered || event.ctrlKey || event.metaKey || event.altKey) return;
    const deeds = { ArrowDown: () => choose(chosen + 1), ArrowUp: () => choose(chosen - 1), Enter: accept, Tab: accept, Escape: close };
    if (event.key in deeds && !event.shiftKey) { event.preventDefault(); deeds[event.key](); }
    else if (["ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown"].includes(event.key)) close();
  });
  list.addEventListener("pointerdown", (event) => {
    event.preventDefault();  // the caret stays where it is
    const option = event.target.closest("li");
    if (option) { choose([...list.children].indexOf(option)); accept(); }
  });
}
