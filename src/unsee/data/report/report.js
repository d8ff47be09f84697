"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const label = (method) => page.labels[method] ?? method;
const swatch = (method) => `<span class="swatch" style="background:${page.colours[method] ?? "#fff"}"></span>`;

// --- tables: a value with its interval, a filter for each key column, pages where there are many rows

const isKey = (column) => column.kind === "key" || column.kind === "method";

function cell(spec, column, value, row) {
  if (value === null) return "–";
  if (column.kind === "method") return swatch(value) + escape(label(value));
  if (column.kind === "p") return value < 0.001 ? "&lt; 0.001" : value.toFixed(3);
  if (value === true) return '<span class="over">yes</span>';
  if (value === false) return "";
  if (typeof value !== "number") return escape(value);
  const decimals = column.decimals === "metric" ? page.decimals[`${row[spec.keys.task]}/${row[spec.keys.metric]}`] : column.decimals;
  const show = (number) => (decimals === null ? String(number) : number.toFixed(decimals));
  if (column.kind === "warning" && value > 0) return `<span class="over">${show(value)}</span>`;
  if (!column.ends) return show(value);
  const [low, high] = column.ends.map((at) => row[at]);
  return low === null ? show(value) : `${show(value)} <span class="ends">${show(low)} to ${show(high)}</span>`;
}

// A table is drawn when it comes near the window, so that the top of the page does not wait for it; before printing all are drawn.
const undrawn = new Map();
function draw(place) {
  const make = undrawn.get(place);
  undrawn.delete(place);
  make?.();
}
const near = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
  { rootMargin: "400px" },
);
function later(place, make) {
  undrawn.set(place, make);
  near.observe(place);
}
addEventListener("beforeprint", () => [...undrawn.keys()].forEach(draw));

for (const place of document.querySelectorAll("[data-table]")) later(place, () => {
  const spec = page.tables[place.dataset.table];
  const pages = Number(place.dataset.pages ?? 0);
  new Tabulator(place, {
    data: spec.rows.map((row, id) => ({ id, row, ...row })),
    index: "id",
    layout: "fitDataFill",
    ...(pages ? { pagination: true, paginationSize: pages } : {}),
    columnDefaults: { headerSortTristate: true },
    columns: spec.columns.map((column) => ({
      title: column.title,
      field: String(column.at),
      sorter: isKey(column) ? "alphanum" : "number",
      sorterParams: { alignEmptyValues: "bottom" },
      hozAlign: isKey(column) ? "left" : "right",
      maxWidth: 220,
      formatter: (c) => cell(spec, column, c.getValue(), c.getRow().getData().row),
      ...(isKey(column) && spec.rows.length > 12
        ? {
            headerFilter: "list",
            headerFilterFunc: "=",
            headerFilterPlaceholder: "all",
            headerFilterParams: { values: ["", ...new Set(spec.rows.map((row) => row[column.at]).filter((v) => v !== null))], clearable: true },
          }
        : {}),
    })),
  });
});

// --- explorer

const data = page.explorer;
const filters = document.getElementById("filters").elements;
const seeds = [...new Set(data.runs.map((run) => run.seed))];
const fill = (select, values, show = (v) => v) => values.forEach((v) => select.add(new Option(show(v), v)));
fill(filters.percent, Object.keys(data.forgotten), (v) => `${v} %`);
fill(filters.seed, seeds);
fill(filters.set, data.names.set);
fill(filters.modality, data.names.modality);
fill(filters.task, data.names.task);
filters.set.value = "forget";
filters.seed.parentElement.hidden = seeds.length < 2;
if (seeds.length < 2) filters.seed.parentElement.style.display = "none";

function rows() {
  const percent = Number(filters.percent.value), seed = Number(filters.seed.value);
  const forgotten = new Set(data.forgotten[percent]);
  const runs = data.runs.filter((run) => run.seed === seed && (run.percent === percent || run.percent === 0));
  const q = data.questions, found = [];
  for (let i = 0; i < q.person.length; i++) {
    const origin = data.names.origin[q.origin[i]], gone = forgotten.has(q.person[i]);
    if (origin === "test" && !gone) continue;
    const set = origin === "celebrity" || origin === "test" ? origin : gone ? "forget" : "retain";
    const row = {
      id: i, set, image: q.image[i], person: data.people[q.person[i]].name, modality: data.names.modality[q.modality[i]],
      task: data.names.task[q.task[i]], question: data.texts[q.question[i]], options: data.texts[q.options[i]], reference: data.texts[q.answer[i]],
    };
    for (const run of runs) {
      row[`answer ${run.method}`] = run.answers[i] < 0 ? null : data.texts[run.answers[i]];
      row[`value ${run.method}`] = run.values[i];
    }
    found.push(row);
  }
  return [found, runs.map((run) => run.method)];
}

function answer(method) {
  return {
    title: swatch(method) + escape(label(method)), field: `value ${method}`, sorter: "number", width: 170, headerSortStartingDir: "desc",
    formatter: (c) => {
      const row = c.getRow().getData(), text = row[`answer ${method}`], value = c.getValue();
      if (text === null || text === undefined) return "–";
      const mark = row.task === "generation" ? ` <span class="ends">${value}</span>` : "";
      const strength = row.task === "generation" ? value / 100 : value > 50 ? 1 : 0;
      const colour = `color-mix(in srgb, var(--good) ${Math.round(100 * strength)}%, var(--bad))`;
      return `<div class="answer" style="border-color:${colour}">${escape(text) || "<em>(nothing)</em>"}${mark}</div>`;
    },
  };
}

const narrow = window.innerWidth < 700;
const columns = (methods) => [
  ...(narrow ? [{ formatter: "responsiveCollapse", width: 34, headerSort: false }] : []),
  {
    title: "", field: "image", width: narrow ? 66 : 72, headerSort: false, frozen: !narrow,
    formatter: (c) => (c.getValue() ? `<img alt="" src="${data.images[c.getValue()]}">` : ""),
  },
  {
    title: "person", field: "person", width: narrow ? 98 : 140, frozen: !narrow,
    formatter: (c) => {
      const row = c.getRow().getData();
      return `${escape(row.person)}<br><span class="ends">${row.set}, ${row.modality},<br>${row.task}</span>`;
    },
  },
  {
    title: "question", field: "question", width: narrow ? 155 : 250, responsive: 2,
    formatter: (c) => escape(c.getValue()) + (c.getRow().getData().options ? `<br><span class="ends">${escape(c.getRow().getData().options)}</span>` : ""),
  },
  { title: "truth", field: "reference", width: 150, responsive: 3 },
  ...methods.map((method) => ({ ...answer(method), responsive: 4 })),
];

function card() {
  const name = filters.person.value.trim();
  const at = data.people.findIndex((person) => person.name === name);
  const place = document.getElementById("person");
  place.hidden = at < 0;
  if (at < 0) return;
  const picture = data.questions.image.find((image, i) => image && data.questions.person[i] === at);
  const facts = Object.entries(data.people[at].facts).map(([key, value]) => `<div><dt>${escape(key)}:</dt> <dd>${escape(value)}</dd></div>`);
  place.innerHTML = `${picture ? `<img alt="${escape(name)}" width="112" src="${data.images[picture]}">` : ""}<dl>${facts.join("")}</dl>`;
}

function wanted(row) {
  const person = filters.person.value.trim().toLowerCase(), words = filters.words.value.trim().toLowerCase();
  return (
    ["set", "modality", "task"].every((name) => !filters[name].value || row[name] === filters[name].value) &&
    (!person || row.person.toLowerCase().includes(person)) &&
    (!words || Object.values(row).some((value) => typeof value === "string" && value.toLowerCase().includes(words)))
  );
}

let all, methods, answers;
const show = () => all.filter(wanted);
const count = (found) => { document.getElementById("count").value = `${found.length.toLocaleString("en")} of ${all.length.toLocaleString("en")} questions`; };
const ready = new Promise((resolve) => later(document.getElementById("answers"), () => {
  [all, methods] = rows();
  document.getElementById("people").append(...[...new Set(all.map((row) => row.person))].map((name) => new Option(name)));
  const first = show();
  count(first);
  answers = new Tabulator("#answers", {
    data: first, columns: columns(methods), layout: "fitDataFill", pagination: true, paginationSize: 20, paginationSizeSelector: [10, 20, 50, 100],
    ...(narrow ? { responsiveLayout: "collapse", responsiveLayoutCollapseStartOpen: false } : {}),
    placeholder: "No question matches all filters.",
  });
  answers.on("tableBuilt", resolve);
}));

async function refresh(event) {
  draw(document.getElementById("answers"));
  await ready;
  if (event?.target?.name === "percent" || event?.target?.name === "seed") {
    [all, methods] = rows();
    answers.setColumns(columns(methods));
  }
  card();
  const found = show();
  count(found);
  await answers.setData(found);
}
let waiting;
document.getElementById("filters").addEventListener("input", (event) => {
  clearTimeout(waiting);
  waiting = setTimeout(() => refresh(event), 120);
});
document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
for (const link of document.querySelectorAll("[data-person]")) {
  link.addEventListener("click", () => {
    filters.person.value = link.dataset.person;
    filters.set.value = "";
    refresh();
  });
}
document.documentElement.dataset.ready = "true";
