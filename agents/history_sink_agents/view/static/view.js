"use strict";
// More turns as one scrolls, keys, and a filter. All of it works without this file, by links.

const said = document.getElementById("said");

function say(text) {
  said.textContent = text;
  setTimeout(() => { if (said.textContent === text) said.textContent = ""; }, 2500);
}

// The server escapes all that a transcript holds; the policy of the page lets nothing of it run.
async function fetchMore(more) {
  try {
    const answer = await fetch(more.dataset.more);
    if (!answer.ok) throw new Error(String(answer.status));
    const holder = document.createElement("template");
    holder.innerHTML = await answer.text();
    watch(holder.content);
    more.replaceWith(holder.content);
    return true;
  } catch (error) {
    more.loading = undefined;
    say("Later turns cannot be loaded: " + error.message);
    return false;
  }
}

// Whoever asks first loads; the others wait for the same.
function loadMore(more) {
  more.loading ??= fetchMore(more);
  return more.loading;
}

const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) loadMore(entry.target);
}, { rootMargin: "1500px" });

function watch(root) {
  for (const more of root.querySelectorAll("[data-more]")) observer.observe(more);
}
watch(document);

function stops() {
  const all = [...document.querySelectorAll(".timeline .turn, .timeline details.quiet, .row")];
  return all.filter((each) => !each.parentElement.closest("details:not([open])"));
}

function current() {
  return document.activeElement.closest(".turn, details.quiet, .row");
}

function goTo(stop) {
  if (!stop) return;
  const target = stop.classList.contains("row") ? stop.querySelector("a") : stop;
  target.focus({ preventScroll: true });
  stop.scrollIntoView({ block: stop.classList.contains("row") ? "nearest" : "start" });
}

function findTop(all) {
  return all.findIndex((each) => each.getBoundingClientRect().bottom > 70);
}

// One after the other: a key that is pressed while turns are loaded waits for them.
let moved = Promise.resolve();
function move(step, fits) {
  moved = moved.then(() => moveOnce(step, fits));
}

async function moveOnce(step, fits) {
  const all = stops();
  const at = all.indexOf(current());
  let next = at < 0 ? findTop(all) - (step > 0 ? 0 : 1) : at + step;
  while (all[next] && fits && !fits(all[next])) next += step;
  if (!all[next] && step > 0) {
    const more = document.querySelector("[data-more]");
    if (more && await loadMore(more)) return moveOnce(step, fits);
  }
  goTo(all[next]);
}

function toggle(root) {
  if (root.classList.contains("row")) { root.querySelector("a").click(); return; }
  const folds = root.matches("details") ? [root] : [...root.querySelectorAll("details")];
  const open = folds.some((each) => !each.open);
  for (const each of folds) each.open = open;
}

const keys = {
  j: () => move(1),
  k: () => move(-1),
  n: () => move(1, (each) => each.classList.contains("user")),
  p: () => move(-1, (each) => each.classList.contains("user")),
  o: () => { const at = current(); if (at) toggle(at); },
  e: () => toggle(document.getElementById("main")),
  g: () => { const link = document.getElementById("to-start"); if (document.getElementById("t0") || !link) goTo(stops()[0]); else link.click(); },
  G: () => { const link = document.getElementById("to-end"); if (!document.querySelector("[data-more]") || !link) goTo(stops().at(-1)); else link.click(); },
  c: () => copyPointer(),
  "/": () => document.getElementById("search").select(),
  "?": () => document.getElementById("keys").showModal(),
};

async function copyPointer() {
  const link = current() && current().querySelector("a.pointer");
  if (!link) return;
  const query = new URL(link.href).searchParams;
  const range = [Number(query.get("start")), Number(query.get("end"))];
  const handle = JSON.stringify({ bucket: query.get("bucket"), key: query.get("key"), byte_range: range });
  try {
    await navigator.clipboard.writeText(handle);
    say("The pointer is copied");
  } catch {
    location.href = link.href;
  }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || document.getElementById("keys").open) return;
  if (event.target.matches("input")) { if (event.key === "Escape") event.target.blur(); return; }
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

document.getElementById("help").addEventListener("click", keys["?"]);

// A link to a turn that is here already goes there, and loads nothing.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.link, a.number");
  const turn = link && document.getElementById(link.hash.slice(1));
  if (!turn || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.replaceState(null, "", link.href);
  goTo(turn);
});

if (location.hash) goTo(document.getElementById(location.hash.slice(1)));

const filter = document.getElementById("filter");
if (filter) filter.addEventListener("input", () => {
  const wanted = filter.value.toLowerCase();
  for (const row of document.querySelectorAll("tr.row")) row.hidden = !row.querySelector("a").textContent.toLowerCase().includes(wanted);
});
