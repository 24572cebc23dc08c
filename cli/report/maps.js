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

// Digits in base 36: see docs/reports.md.
function drawSpace(space, fills) {
  return (u) => clipped(u, (ctx) => {
    const y = (row) => Math.round(
        u.valToPos(space.bytes * row / space.rows, "y", true));
    const x = (at) => Math.round(u.valToPos(at, "x", true));
    const end = u.bbox.left + u.bbox.width;
    space.fill.forEach((digits, i) => {
      const from = x(space.time_ns[i]);
      const to = i + 1 < space.time_ns.length ? x(space.time_ns[i + 1]) : end;
      if (to < u.bbox.left || from > end) return;
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
    const column = lastAtMost(space.time_ns, u.posToVal(u.cursor.left, "x"));
    const address = u.posToVal(u.cursor.top, "y");
    const row = Math.max(0, Math.min(
        space.rows - 1, Math.floor(address / space.bytes * space.rows)));
    const digit = space.fill[column][row];
    const used = parseInt(digit, 36) / 35;
    const line = (name, value) =>
        el("tr", {}, el("td", {}, name), el("td", {}, value));
    const time = el("b", {}, timeText(space.time_ns[column]));
    if (digit === undefined) return el("div", {}, time, " not looked into");
    return el("div", {}, time,
        el("table", {},
           line(`from ${bytesText(space.bytes * row / space.rows)}`,
                `${Math.round(used * 100)} % used`),
           line("free in all", bytesText(space.free_bytes[column])),
           line("largest hole", bytesText(space.largest_hole_bytes[column])),
           line("holes", grouped(space.holes[column]))));
  };
}

function spaceSentence(space) {
  const at = space.fill.findLastIndex((digits) => digits !== "");
  let worst = 0;
  const split = space.free_bytes.map(
      (free, i) => !free ? 0 : 1 - space.largest_hole_bytes[i] / free);
  split.forEach((part, i) => { if (part > split[worst]) worst = i; });
  const used = usedBytes(space);
  return `The stronger the colour, the more is used; a row is ` +
      `${bytesText(space.bytes / space.rows)} of addresses. ` +
      (space.samples_per_column === 1 ? "" : `It was looked at once in ` +
       `${grouped(space.samples_per_column)} samples. `) +
      (at < space.fill.length - 1 ? "It could not be looked into to the end: " +
       "its device went, or addresses waited for a flush; when last seen "
       : "In the end ") +
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
    controls: [heatScale("free", "used")],
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
              spaceSentence(space), map, holes);
}

const kMostNames = 24;

// The bos that most bytes were moved for, or of.
function busiest(rows, key) {
  const sums = new Map();
  for (const row of rows) {
    sums.set(row[key], (sums.get(row[key]) || 0) + row.bytes);
  }
  return [...sums].sort((a, b) => b[1] - a[1]).slice(0, kMostNames)
      .map(([bo]) => bo);
}

function boName(bo) {
  return bo === null ? "nobody" : String(bo);
}

function matrixOf(rows) {
  const victims = busiest(rows, "victim");
  const causes = busiest(rows, "for_bo");
  const cells = new Map();
  let most = 0;
  for (const row of rows) {
    const x = causes.indexOf(row.for_bo);
    const y = victims.indexOf(row.victim);
    if (x < 0 || y < 0) continue;
    const key = `${x},${y}`;
    const sum = cells.get(key) || {x, y, bytes: 0, evictions: 0};
    sum.bytes += row.bytes;
    sum.evictions += row.evictions;
    cells.set(key, sum);
    most = Math.max(most, sum.bytes);
  }
  return {victims, causes, cells, most};
}

function drawMatrix({cells, most}) {
  return (u) => clipped(u, (ctx) => {
    for (const {x, y, bytes} of cells.values()) {
      const [left, right] = [x - 0.46, x + 0.46].map(
          (at) => u.valToPos(at, "x", true));
      const [top, bottom] = [y - 0.46, y + 0.46].map(
          (at) => u.valToPos(at, "y", true));
      ctx.fillStyle = heat(0.08 + 0.92 * Math.log1p(bytes) / Math.log1p(most));
      ctx.fillRect(left, top, right - left, bottom - top);
    }
  });
}

function evictionMap(rows, makeTable) {
  const matrix = matrixOf(rows);
  const {victims, causes, cells} = matrix;
  const whole = (names) => (u, axisAt, min, max) => {
    const ticks = [];
    const least = (max - min) / (u.axes[axisAt].side === 2
        ? u.over.clientWidth / 34 : u.over.clientHeight / 15);
    const step = Math.max(1, Math.ceil(least));
    for (let i = 0; i < names.length; i += step) {
      if (i >= min && i <= max) ticks.push(i);
    }
    return ticks;
  };
  const tip = (u) => {
    const x = Math.round(u.posToVal(u.cursor.left, "x"));
    const y = Math.round(u.posToVal(u.cursor.top, "y"));
    const found = cells.get(`${x},${y}`);
    if (!found) return null;
    return el("div", {},
        el("b", {}, `bo ${boName(victims[y])} went for bo ` +
                    boName(causes[x])),
        el("div", {}, `${counted(found.evictions, "time")}, ` +
                      bytesText(found.bytes)));
  };
  return plot({
    label: "Who was evicted for whom: columns are the bos that came, rows " +
           "those that went",
    x: {values: causes.map((_, i) => i), first: -0.5,
        last: causes.length - 0.5, unit: "plain", splits: whole(causes),
        label: "for bo", noGrid: true,
        ticks: (i) => boName(causes[i])},
    y: {unit: "plain", dir: -1, all: {min: -0.5, max: victims.length - 0.5},
        splits: whole(victims), ticks: (i) => boName(victims[i]),
        label: "evicted bo", noGrid: true},
    series: [{name: "evictions", color: color("heat-high"), dash: [],
              values: causes.map(() => null)}],
    kind: "cells", zoomY: true, draw: drawMatrix(matrix), tooltip: tip,
    height: Math.max(180, 60 + 16 * victims.length),
    controls: [heatScale("few bytes", "many")],
    table: makeTable,
  });
}
