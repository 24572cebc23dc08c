// Figures as people read them: as in the command's own tables, and GiB.

function grouped(number) {
  return String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, ",");
}

// "1 hole", "2 holes"
function counted(number, noun) {
  return `${grouped(number)} ${noun}${number === 1 ? "" : "s"}`;
}

function bytesText(bytes) {
  if (bytes < 10 * 1024) return `${Math.round(bytes)} B`;
  if (bytes < 10 * 1048576) return `${(bytes / 1024).toFixed(1)} KiB`;
  if (bytes < 10 * 1073741824) return `${(bytes / 1048576).toFixed(1)} MiB`;
  return `${(bytes / 1073741824).toFixed(1)} GiB`;
}

function timeText(ns) {
  if (ns < 1e7) return `${(ns / 1e3).toFixed(1)} us`;
  if (ns < 1e10) return `${(ns / 1e6).toFixed(1)} ms`;
  return `${(ns / 1e9).toFixed(2)} s`;
}

function percentText(part) {
  return `${(part * 100).toFixed(1)} %`;
}

function signedPercentText(part) {
  return `${part > 0 ? "+" : ""}${percentText(part)}`;
}

// By the unit that the data names.
const formats = {
  bytes: bytesText,
  ns: timeText,
  count: grouped,
  part: percentText,
  signed_part: signedPercentText,
  seconds: (s) => `${s.toFixed(2)} s`,
  plain: String,
};

const kUnits = {
  bytes: [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10], ["B", 1]],
  ns: [["s", 1e9], ["ms", 1e6], ["us", 1e3], ["ns", 1]],
  count: [["M", 1e6], ["k", 1e3], ["", 1]],
  part: [["%", 0.01]],
};
const kNoUnits = [["", 1]];

function tickText(tick, [name, size], digits) {
  const number = Number((tick / size).toFixed(digits));
  return name && tick !== 0 ? `${number} ${name}` : String(number);
}

// Of an axis: as short as can be, in one unit for all ticks of it, and so
// exact that no two are alike.
function axisText(unit, ticks) {
  const units = kUnits[unit] || kNoUnits;
  const most = Math.max(...ticks.map(Math.abs), 0);
  const chosen =
      units.find(([, size]) => most >= size * (size === 1 ? 1 : 2)) ||
      units.at(-1);
  const step = Math.min(...ticks.slice(1).map((tick, i) => tick - ticks[i]));
  const digits = Number.isFinite(step) && step > 0
      ? Math.ceil(-Math.log10(step / chosen[1])) + 1 : 2;
  return ticks.map(
      (tick) => tickText(tick, chosen, Math.max(2, Math.min(12, digits))));
}

// Of a logarithmic one: each tick has a unit of its own.
function logAxisText(unit, ticks) {
  const units = kUnits[unit] || kNoUnits;
  return ticks.map((tick) => tickText(
      tick, units.find(([, size]) => tick >= size) || units.at(-1), 2));
}

function fileName(path) {
  return path.slice(path.lastIndexOf("/") + 1);
}

// "vram, tt and dma"
function listed(names) {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
}

// By the run's number, and by the trace's where that is another one.
function boNumber(bo, inTrace) {
  return inTrace === undefined || inTrace === bo ? String(bo)
                                                 : `${bo} (trace ${inTrace})`;
}

// A row's bo at `key`, as a table has it: "2 (trace 1)", "nobody".
function boText(row, key) {
  return row[key] === null ? "nobody"
                           : boNumber(row[key], row[`${key}_in_trace`]);
}

// The same in a sentence: "bo 2 (trace 1)", "nobody".
function boName(row, key) {
  return row[key] === null ? "nobody" : `bo ${boText(row, key)}`;
}
