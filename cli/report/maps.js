// Maps: cells of colour on a plot's axes. An address space over time, and who
// was evicted for whom.

function mixed(low, high, part) {
  const parse = (hex) =>
      [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const [a, b] = [parse(low), parse(high)];
  return `rgb(${a.map((from, i) => Math.round(from + (b[i] - from) * part))})`;
}

function heat(part) {
  return part === 0 ? color("heat-none")
                    : mixed(color("heat-low"), color("heat-high"), part);
}

function heatScale(low, high) {
  return el("span", {class: "scale"}, low, el("i", {}), high);
}

function striped(name) {
  return el("span", {class: "scale"}, el("i", {class: "striped"}), name);
}

// The last of those sorted that is not above x; 0 where all are.
function lastAtMost(sorted, x) {
  let from = 0;
  let to = sorted.length;
  while (to - from > 1) {
    const middle = (from + to) >> 1;
    if (sorted[middle] <= x) from = middle; else to = middle;
  }
  return from;
}

function clipped(u, draw) {
  const {left, top, width, height} = u.bbox;
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(left, top, width, height);
  u.ctx.clip();
  draw(u.ctx);
  u.ctx.restore();
}

// Stripes, for what is not known.
function hatching(ctx) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 10;
  const stripes = tile.getContext("2d");
  stripes.strokeStyle = color("soft");
  stripes.globalAlpha = 0.6;
  stripes.lineWidth = 1.5;
  for (const from of [-10, 0, 10]) {
    stripes.moveTo(from, 10);
    stripes.lineTo(from + 10, 0);
  }
  stripes.stroke();
  return ctx.createPattern(tile, "repeat");
}

// Digits in base 36: see docs/reports.md.
function drawSpace(space, fills) {
  return (u) => clipped(u, (ctx) => {
    const y = (row) => Math.round(
        u.valToPos(space.bytes * row / space.rows, "y", true));
    const x = (at) => Math.round(u.valToPos(at, "x", true));
    const end = u.bbox.left + u.bbox.width;
    const hatched = hatching(ctx);
    const stripes = (from, to) => {
      ctx.fillStyle = hatched;
      ctx.fillRect(from, u.bbox.top, Math.max(to - from, 1), u.bbox.height);
    };
    // Of a device that came later.
    const first = x(space.time_ns[0]);
    if (first > u.bbox.left) stripes(u.bbox.left, first);
    space.fill.forEach((digits, i) => {
      const seen = digits !== "";
      // Stripes go on: each begun anew would be broken at its edge.
      if (!seen && i > 0 && space.fill[i - 1] === "") return;
      let next = i + 1;
      while (!seen && space.fill[next] === "") ++next;
      const from = x(space.time_ns[i]);
      const to = next < space.time_ns.length ? x(space.time_ns[next]) : end;
      if (to < u.bbox.left || from > end) return;
      if (!seen) stripes(from, to);
      for (let row = 0; row < digits.length;) {
        let next = row + 1;
        while (next < digits.length && digits[next] === digits[row]) ++next;
        ctx.fillStyle = fills[parseInt(digits[row], 36)];
        ctx.fillRect(from, y(next), Math.max(to - from, 1), y(row) - y(next));
        row = next;
      }
    });
  });
}

function spaceTooltip(space) {
  return (u) => {
    const at = u.posToVal(u.cursor.left, "x");
    const column = lastAtMost(space.time_ns, at);
    const address = u.posToVal(u.cursor.top, "y");
    const row = Math.max(0, Math.min(
        space.rows - 1, Math.floor(address / space.bytes * space.rows)));
    const digit = space.fill[column][row];
    const used = parseInt(digit, 36) / 35;
    const line = (name, value) =>
        el("tr", {}, el("td", {}, name), el("td", {}, value));
    if (digit === undefined || at < space.time_ns[0]) {
      return el("div", {}, el("b", {}, timeText(at)), " not looked into");
    }
    const time = el("b", {}, timeText(space.time_ns[column]));
    return el("div", {}, time,
        el("table", {},
           line(`from ${bytesText(space.bytes * row / space.rows)}`,
                `${Math.round(used * 100)} % used`),
           line("free in all", bytesText(space.free_bytes[column])),
           line("largest hole", bytesText(space.largest_hole_bytes[column])),
           line("holes", grouped(space.holes[column]))));
  };
}

// How late it was looked at first, where that is seen in a plot.
function lateBy(space, time) {
  const late = space.time_ns[0] - time.first;
  return late > 0.01 * (time.last - time.first) ? late : 0;
}

function spaceSentence(space, time) {
  const at = space.fill.findLastIndex((digits) => digits !== "");
  const unseen = space.fill.filter((digits) => digits === "").length;
  let worst = 0;
  const split = space.free_bytes.map(
      (free, i) => !free ? 0 : 1 - space.largest_hole_bytes[i] / free);
  split.forEach((part, i) => { if (part > split[worst]) worst = i; });
  const used = usedBytes(space);
  return `The stronger the colour, the more is used; a row is ` +
      `${bytesText(space.bytes / space.rows)} of addresses. ` +
      (space.samples_per_column === 1 ? "" : `It was looked at once in ` +
       `${grouped(space.samples_per_column)} samples. `) +
      (lateBy(space, time) === 0 ? "" : `It came at ` +
       `${timeText(space.time_ns[0])}. `) +
      (unseen === 0 ? "" : `Striped is when it could not be looked into, ` +
       `${counted(unseen, "time")} of ${grouped(space.fill.length)}: its ` +
       `device was gone, or addresses waited for a flush, which looking ` +
       `would have changed. `) +
      (at < space.fill.length - 1 ? "When last seen " : "In the end ") +
      `${bytesText(space.free_bytes[at])} of ${bytesText(space.bytes)} were ` +
      `free, in ${counted(space.holes[at], "hole")}; ` +
      (split[worst] === 0 ? "what was free was always one hole." :
       `what was free was most in pieces at ` +
       `${timeText(space.time_ns[worst])}, when the largest hole was ` +
       `${percentText(1 - split[worst])} of it.`) +
      (used === space.bytes ? "" : ` What is above ${bytesText(used)} was ` +
       `never used, and is not shown.`);
}

// Up to where the space was ever used, with some room where that is not far.
function usedBytes(space) {
  let rows = 1;
  for (const digits of space.fill) {
    for (let row = digits.length; row > rows; --row) {
      if (digits[row - 1] !== "0") rows = row;
    }
  }
  return rows > space.rows / 2 ? space.bytes : space.bytes * rows / space.rows;
}

function spaceTable(space, source) {
  return table([
    {key: "time_ns", title: "time", unit: "ns"},
    {key: "free_bytes", title: "free", unit: "bytes"},
    {key: "largest_hole_bytes", title: "largest hole", unit: "bytes"},
    {key: "holes", title: "holes", unit: "count"},
  ], space.time_ns.map((time_ns, i) => ({
    time_ns, free_bytes: space.free_bytes[i],
    largest_hole_bytes: space.largest_hole_bytes[i], holes: space.holes[i],
  })), source);
}

// Where it was looked at `time`s: a map, and the holes as lines.
function spaceCard(space, time) {
  if (space.fill.every((digits) => /^0*$/.test(digits))) {
    return card(`Address space: ${space.name}`, "", "Never used.");
  }
  const fills = Array.from({length: 36}, (_, i) => heat(i / 35));
  const x = {...time, values: space.time_ns, more: [], unit: "ns",
             title: "time"};
  const map = plot({
    label: `Address space of ${space.name} over time: how full each part is`,
    x: {...x, noGrid: true},
    y: {unit: "bytes", all: {min: 0, max: usedBytes(space)}, noGrid: true},
    series: [{name: "used", color: color("heat-high"), dash: [],
              values: space.time_ns.map(() => null)}],
    kind: "cells", height: 280, group: time.group, zoomY: true,
    draw: drawSpace(space, fills), tooltip: spaceTooltip(space),
    controls: [heatScale("free", "used"),
               space.fill.includes("") || lateBy(space, time) > 0
                   ? striped("not looked into") : ""],
    table: () => spaceTable(space),
  });
  const line = (name, key, style) =>
      ({name, values: space[key], ...lineStyle(style)});
  // Of a device that goes at once there is no line.
  const seen = space.time_ns.filter((_, i) => space.fill[i] !== "");
  const holes = seen[0] === seen.at(-1) ? [] : plot({
    label: `Free space and largest hole of ${space.name} over time`,
    x, y: {unit: "bytes"},
    series: [line("free in all", "free_bytes", 7),
             line("largest hole", "largest_hole_bytes", 3)],
    height: 170, group: time.group,
    titleAt: (at) => timeText(space.time_ns[at]),
    table: () => spaceTable(space),
  });
  return card(`Address space: ${space.name}`, `addresses over ${time.of}`,
              spaceSentence(space, time), map, holes);
}

// Rows of evictions, as what a map shows: {went, came} are the texts of its
// rows and columns, cells {x, y, evictions, bytes}. `wentOf`, `cameOf`: which
// of them a row is of.
function matrixOf(rows, went, came, wentOf, cameOf) {
  const cells = new Map();
  for (const row of rows) {
    const [x, y] = [cameOf(row), wentOf(row)];
    cells.set(`${x},${y}`, {x, y, ...row});
  }
  const bytes = rows.map((row) => row.bytes);
  return {went, came, cells, least: Math.min(...bytes),
          most: Math.max(...bytes)};
}

function distinct(values, compare) {
  return [...new Set(values)].sort(compare);
}

// By the sizes of both, and the place that was left.
function bySize(rows, source) {
  const places = distinct(rows.map((row) => row.from));
  const sizes = distinct(rows.map((row) => row.for_bytes), (a, b) => a - b);
  const wentOf = (row) => [row.from, row.victim_bytes];
  const went = rows.map(wentOf).sort(
      ([a, less], [b, more]) => compareCells(a, b) || less - more);
  const keys = [...new Set(went.map(String))];
  const name = (key) => {
    const [, place, bytes] = key.match(/^(.*),(\d+)$/);
    const size = sizeText(Number(bytes));
    return places.length === 1 ? size : `${place} ${size}`;
  };
  return {
    ...matrixOf(rows, keys.map(name),
                sizes.map((bytes) => bytes === null ? "nobody"
                                                    : sizeText(bytes)),
                (row) => keys.indexOf(String(wentOf(row))),
                (row) => sizes.indexOf(row.for_bytes)),
    wentTitle: "size of the evicted", cameTitle: "for a bo of size",
    tip: (row) => `bos of ${sizeText(row.victim_bytes)} left ${row.from} for ` +
        (row.for_bytes === null ? "nobody"
                                : `bos of ${sizeText(row.for_bytes)}`),
    table: () => table([
      {key: "victim_bytes", title: "evicted bos of", unit: "bytes"},
      {key: "for_bytes", title: "for bos of", unit: "bytes"},
      {key: "bytes", title: "bytes", unit: "bytes"},
      {key: "evictions", title: "times", unit: "count"},
      {key: "from", title: "from"},
    ], rows, source),
  };
}

// Of 2^n bytes.
function sizeText(bytes) {
  return logAxisText("bytes", [bytes])[0];
}

// By groups of bos that were created one after the other.
function byOrder({bos_per_group: width, rows}, source) {
  const bos = rows.flatMap(({victim, for_bo}) => [victim, for_bo])
      .filter((bo) => bo !== null);
  const first = Math.min(...bos);
  const count = (Math.max(...bos) - first) / width + 1;
  const names = Array.from({length: count}, (_, i) =>
      groupText(first + i * width, width));
  const text = (row, key) => width === 1 || row[key] === null
      ? boText(row, key) : groupText(row[key], width);
  for (const row of rows) {
    for (const key of ["victim", "for_bo"]) {
      if (row[key] !== null) {
        names[(row[key] - first) / width] = text(row, key);
      }
    }
  }
  // Rooms that were made for nobody have a column of their own.
  const nobody = rows.some(({for_bo}) => for_bo === null) ? 1 : 0;
  const name = (row, key) => row[key] === null ? "nobody"
      : `${width === 1 ? "bo" : "bos"} ${text(row, key)}`;
  return {
    ...matrixOf(rows, names, nobody ? ["nobody", ...names] : names,
                ({victim}) => (victim - first) / width,
                ({for_bo}) => for_bo === null ? 0
                    : (for_bo - first) / width + nobody),
    wentTitle: "evicted bo", cameTitle: "for bo",
    tip: (row) => `${name(row, "victim")} went for ${name(row, "for_bo")}`,
    table: () => table([
      {key: "victim", title: "evicted", text},
      {key: "for_bo", title: "for", text},
      {key: "bytes", title: "bytes", unit: "bytes"},
      {key: "evictions", title: "times", unit: "count"},
    ], rows, source),
  };
}

function groupText(first, width) {
  return width === 1 ? String(first) : `${first}–${first + width - 1}`;
}

// No difference that a scale could tell.
function allAlike({least, most}) {
  return bytesText(least) === bytesText(most);
}

// Of a logarithm, as bytes are of all magnitudes.
function drawMatrix({cells, least, most}) {
  const part = (bytes) => allAlike({least, most})
      ? 1 : Math.log(bytes / least) / Math.log(most / least);
  return (u) => clipped(u, (ctx) => {
    for (const {x, y, bytes} of cells.values()) {
      const [left, right] = [x - 0.46, x + 0.46].map(
          (at) => u.valToPos(at, "x", true));
      const [top, bottom] = [y - 0.46, y + 0.46].map(
          (at) => u.valToPos(at, "y", true));
      ctx.fillStyle = mixed(color("heat-low"), color("heat-high"), part(bytes));
      ctx.fillRect(left, top, right - left, bottom - top);
    }
  });
}

// Ticks at whole numbers, as many of those as have room for `size` pixels.
function wholeSplits(count, size) {
  return (u, axisAt, min, max) => {
    const room = u.axes[axisAt].side === 2 ? u.bbox.width : u.bbox.height;
    const step = Math.max(1, Math.ceil(
        (max - min) * size * devicePixelRatio / room));
    const ticks = [];
    for (let i = 0; i < count; i += step) {
      if (i >= min && i <= max) ticks.push(i);
    }
    return ticks;
  };
}

// Of a matrix with {wentTitle, cameTitle, tip, table}.
function evictionMap(matrix) {
  const {went, came, cells, least, most} = matrix;
  const tip = (u) => {
    const x = Math.round(u.posToVal(u.cursor.left, "x"));
    const y = Math.round(u.posToVal(u.cursor.top, "y"));
    const found = cells.get(`${x},${y}`);
    if (!found) return null;
    return el("div", {}, el("b", {}, matrix.tip(found)),
              el("div", {}, `${counted(found.evictions, "time")}, ` +
                            bytesText(found.bytes)));
  };
  return {
    label: "Who was evicted for whom: columns are the bos that came, rows " +
           "those that went",
    x: {values: came.map((_, i) => i), first: -0.5, last: came.length - 0.5,
        unit: "plain", splits: wholeSplits(came.length, widest(came) + 10),
        label: matrix.cameTitle, noGrid: true, ticks: (i) => came[i]},
    y: {unit: "plain", dir: -1, all: {min: -0.5, max: went.length - 0.5},
        splits: wholeSplits(went.length, 15), ticks: (i) => went[i],
        label: matrix.wentTitle, noGrid: true, width: widest(went) + 16},
    series: [{name: "evictions", color: color("heat-high"), dash: [],
              values: came.map(() => null)}],
    kind: "cells", zoomY: true, draw: drawMatrix(matrix), tooltip: tip,
    height: Math.max(180, 70 + 16 * went.length),
    controls: [allAlike(matrix)
        ? el("span", {class: "scale"}, `${bytesText(most)} each`)
        : heatScale(bytesText(least), bytesText(most))],
    table: matrix.table,
  };
}
