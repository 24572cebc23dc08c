// Elements, and tables that can be sorted. All text goes in as text: names come
// from files.

function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(
      ...children.flat(Infinity).filter((child) => child !== null));
  return element;
}

function tile(name, value, note, kind) {
  return el("div", {class: "tile"}, el("div", {class: "name"}, name),
            el("div", {class: `value ${kind || ""}`}, value),
            el("div", {class: "note"}, note || ""));
}

// A card with a title, its unit, a sentence on what one sees, and what follows.
function card(title, unit, sentence, ...children) {
  return el("section", {class: "card"},
            el("h2", {}, title, unit ? el("span", {class: "unit"}, ` (${unit})`)
                                     : ""),
            el("p", {class: "soft"}, sentence), children);
}

function cell(column, row) {
  const value = row[column.key];
  const td = el("td", {"data-key": column.key});
  if (column.text) {
    td.textContent = column.text(row, column.key);
    return td;
  }
  if (value === null || value === undefined) {
    td.textContent = "–";
    if (column.unit) td.className = "num";
    return td;
  }
  if (column.unit && typeof value === "number") {
    td.className = "num";
    td.dataset.value = value;
    td.title = grouped(value) === String(value) ? "" : String(value);
    td.textContent = formats[column.unit](value);
  } else {
    const run = column.pick && column.pick(row);
    td.append(run ? el("button", {type: "button", class: "pick", onclick: run},
                       String(value)) : String(value));
    if (column.long) td.className = "long";
    if (column.pick) td.className = "name";
  }
  return td;
}

function compareCells(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  return a < b ? -1 : 1;
}

// A table in a box that scrolls, with a word on it where it is too wide.
function scrolling(content) {
  const hint = el("p", {class: "hint", hidden: ""},
                  "Scroll sideways for more columns →");
  const box = el("div", {class: "scroll", tabindex: "0"}, content);
  new ResizeObserver(() => {
    hint.hidden = box.scrollWidth <= box.clientWidth + 1;
  }).observe(box);
  return el("div", {}, hint, box);
}

// columns: {key, title, unit, long, pick, text}; a cell of one with `pick`, where
// that returns what is to be done for the row, is a button that does it; `text`
// makes one of the row. `source`: where in the data the rows are, if they are
// there as they stand. `rest`: a row that stays at the foot.
function table(columns, rows, source, rest) {
  const body = el("tbody", {});
  const indexed = rows.map((row, index) => ({row, index}));
  const fill = () => body.replaceChildren(...indexed.map(
      ({row, index}) => el("tr", {
        "data-index": index,
        class: row.clean === false || row.error ? "wrong" : null,
      }, columns.map((column) => cell(column, row)))));
  let sorted = null;
  let down = false;
  const sort = (column) => {
    down = sorted === column ? !down : Boolean(column.unit);
    sorted = column;
    indexed.sort((a, b) => {
      const order = compareCells(a.row[column.key], b.row[column.key]);
      return (down ? -order : order) || a.index - b.index;
    });
    fill();
  };
  const head = el("tr", {}, columns.map((column) => el(
      "th", {class: column.unit ? "num" : "", scope: "col"},
      el("button", {onclick: () => sort(column), title: "sort"},
         column.title))));
  fill();
  const foot = rest ? el("tfoot", {}, el("tr", {}, columns.map(
      (column) => cell(column, rest)))) : null;
  return scrolling(el("table", {class: "data", "data-source": source || null},
                      el("thead", {}, head), body, foot));
}

// Closed until it is asked for; `make` is called then.
function tableDetails(name, make) {
  const details = el("details", {}, el("summary", {}, name));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(make());
  });
  return details;
}

function select(label, choices, chosen, onchange) {
  const list = el("select", {
    "aria-label": label,
    onchange: () => onchange(list.value),
  }, choices.map(([value, text]) => el("option", {value}, text)));
  list.value = chosen;
  return list;
}
