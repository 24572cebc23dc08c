// Plots: uPlot with this page's colours, a legend that hides and shows, values
// at the pointer, zoom by dragging, pinching or buttons, and a table of exactly
// what is plotted.

function color(name) {
  return getComputedStyle(document.documentElement)
      .getPropertyValue(`--${name}`).trim();
}

const kDashes = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
const kColors = 8;

// The i-th of those that are told apart: hues first, then dashes.
function lineStyle(i) {
  return {
    color: color(`c${i % kColors}`),
    dash: kDashes[Math.floor(i / kColors) % kDashes.length],
  };
}

function swatch(series) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("width", 22);
  svg.setAttribute("height", 10);
  const line = document.createElementNS(svg.namespaceURI, "path");
  line.setAttribute("d", "M0 5H22");
  line.setAttribute("stroke", series.color);
  line.setAttribute("stroke-width", 3);
  line.setAttribute("stroke-dasharray", series.dash.join(" "));
  svg.append(line);
  return svg;
}

// Plots whose x is the same thing: zoomed together, and pointed at together.
class ZoomGroup {
  constructor(key) {
    this.key = key;
    this.plots = [];
    this.range = null;
  }
  add(plot) {
    this.plots.push(plot);
  }
  set(range) {
    this.range = range;
    for (const plot of this.plots) {
      const is = plot.scales.x;
      const same = is.min === range.min && is.max === range.max;
      if (!same && plot.root.isConnected) plot.setScale("x", range);
    }
  }
}

const kByteSteps = Array.from({length: 50}, (_, i) => 2 ** i);

// A logarithm that has a place for 0.
const kLogScale = {distr: 100, fwd: Math.log1p, bwd: Math.expm1};

function logTicks(unit, most) {
  const ticks = [0];
  const step = unit === "bytes" ? 1024 : 10;
  for (let tick = 1; tick <= most; tick *= step) ticks.push(tick);
  return ticks;
}

const kAxisFont = "12px system-ui, sans-serif";

// How wide the widest of them is on an axis.
function widest(texts) {
  const context = document.createElement("canvas").getContext("2d");
  context.font = kAxisFont;
  return Math.max(...texts.map((text) => context.measureText(text).width));
}

function axis(spec, size) {
  return {
    stroke: color("soft"),
    grid: {show: !spec.noGrid, stroke: color("grid"), width: 1},
    ...(spec.label ? {label: spec.label, labelSize: 20, labelGap: 0,
                      labelFont: kAxisFont} : {}),
    ticks: {stroke: color("line"), width: 1, size: 5},
    font: kAxisFont,
    size,
    ...(spec.space ? {space: spec.space} : {}),
    ...(spec.unit === "bytes" ? {incrs: kByteSteps} : {}),
    values: (u, ticks) => spec.ticks ? ticks.map(spec.ticks)
        : spec.log ? logAxisText(spec.unit, ticks)
        : axisText(spec.unit, ticks),
    ...(spec.splits ? {splits: spec.splits} : {}),
    ...(spec.log ? {splits: (u, i, min, max) => logTicks(spec.unit, max)} : {}),
  };
}

// Two series more for the least and the largest, and the shade between them.
function withSpreads(series) {
  const plotted = [];
  const bands = [];
  for (const one of series) {
    plotted.push({...one, of: one});
    if (!one.low) continue;
    const at = plotted.length;
    plotted.push({values: one.high, of: one}, {values: one.low, of: one});
    bands.push({series: [at + 1, at + 2], fill: `${one.color}40`});
  }
  return {plotted, bands};
}

// How the i-th of `all` series is drawn. Bars stand side by side, of two at most;
// cells are drawn by others.
const kPaths = {
  steps: () => uPlot.paths.stepped({align: 1}),
  line: () => uPlot.paths.linear(),
  bars: (i, all) => uPlot.paths.bars(
      {size: [0.8 / all, 60], align: all === 1 ? 0 : i === 0 ? -1 : 1}),
  cells: () => () => null,
};

function tooltipRows(spec, u, at) {
  const rows = spec.series
      .map((series) => ({series, value: series.values[at]}))
      .filter(({series, value}) =>
        !series.hidden && value !== null && value !== undefined);
  if (spec.sortTooltip) rows.sort((a, b) => a.value - b.value);
  return el("div", {}, el("b", {}, spec.titleAt(at)), el("table", {},
      rows.map(({series, value}) => el("tr", {},
          el("td", {}, el("span", {
            class: "swatch", style: `background:${series.color}`,
          }), series.name),
          el("td", {}, formats[spec.y.unit](value) + (series.low
              ? ` (${formats[spec.y.unit](series.low[at])} to ` +
                `${formats[spec.y.unit](series.high[at])})` : ""))))));
}

function tooltip(spec) {
  const tip = el("div", {class: "tip", hidden: ""});
  const show = (u) => {
    const {left, top, idx} = u.cursor;
    const content = left < 0 || left === null ? null
        : spec.tooltip ? spec.tooltip(u)
        : idx === null || idx === undefined ? null : tooltipRows(spec, u, idx);
    tip.hidden = content === null;
    if (content === null) return;
    tip.replaceChildren(content);
    const room = u.over.clientWidth - tip.offsetWidth;
    const beside = left + 14 <= room ? left + 14 : left - tip.offsetWidth - 14;
    tip.style.left = `${Math.max(0, Math.min(room, beside))}px`;
    tip.style.top = `${Math.max(
        0, Math.min(u.over.clientHeight - tip.offsetHeight, top + 14))}px`;
  };
  return {hooks: {init: (u) => u.over.append(tip), setCursor: show}};
}

function touchRange(u, touches) {
  const box = u.over.getBoundingClientRect();
  const at = [touches[0], touches[1]].map((t) => t.clientX - box.left);
  return at.sort((a, b) => a - b).map((x) => u.posToVal(x, "x"));
}

// One finger shows values, two zoom.
function touch(zoom) {
  const point = (u, event) => {
    const box = u.over.getBoundingClientRect();
    u.setCursor({left: event.touches[0].clientX - box.left,
                 top: event.touches[0].clientY - box.top});
  };
  const init = (u) => {
    let start = null;
    u.over.addEventListener("touchstart", (event) => {
      start = event.touches.length === 2
          ? {fingers: touchRange(u, event.touches), ...u.scales.x} : null;
      if (event.touches.length === 1) point(u, event);
    }, {passive: true});
    u.over.addEventListener("touchmove", (event) => {
      if (event.touches.length === 1) return point(u, event);
      if (start === null || event.touches.length !== 2) return;
      event.preventDefault();
      const box = u.over.getBoundingClientRect();
      const [a, b] = [event.touches[0], event.touches[1]]
          .map((t) => (t.clientX - box.left) / box.width)
          .sort((x, y) => x - y);
      const [from, to] = start.fingers;
      const width = (to - from) / Math.max(b - a, 0.02);
      zoom(from - a * width, from - a * width + width);
    }, {passive: false});
  };
  return {hooks: {init}};
}

function legend(spec, toggle) {
  return spec.series.length < 2 && !spec.alwaysLegend ? []
      : spec.series.map((series, i) => {
        const button = el("button", {
          class: "key", type: "button", "aria-pressed": String(!series.hidden),
          onclick: () => {
            series.hidden = !series.hidden;
            button.setAttribute("aria-pressed", String(!series.hidden));
            toggle(i, !series.hidden);
          },
        }, swatch(series), series.name);
        return button;
      });
}

// What is plotted, a row for each x.
function plotTable(spec) {
  const columns = [{key: "x", title: spec.x.title, unit: spec.x.unit},
                   ...(spec.x.more || []).map(
                       ({title, unit}, i) => ({key: `m${i}`, title, unit}))];
  const rows = spec.x.values.map((x, at) => {
    const row = {x: spec.x.names ? spec.x.names[at] : x};
    (spec.x.more || []).forEach(({values}, i) => { row[`m${i}`] = values[at]; });
    return row;
  });
  spec.series.forEach((series, i) => {
    const parts = series.low
        ? [["", series.values], [", least", series.low],
           [", largest", series.high]] : [["", series.values]];
    parts.forEach(([what, values], part) => {
      const key = `s${i}.${part}`;
      columns.push({key, title: series.name + what, unit: spec.y.unit});
      rows.forEach((row, at) => { row[key] = values[at]; });
    });
  });
  return table(columns, rows);
}

// spec: {label, x, y, series, height, group, kind, titleAt, tooltip, draw, table,
//   controls, zoomY, sortTooltip, alwaysLegend}
// x: {values, first, last, unit, title, names, more, ticks, splits, space}
// y: {unit, all, dir, fit, log, ticks, splits, space, width}
// both: {label, noGrid}
// series: {name, color, dash, values, low, high, hidden, width, points}
// Returns what goes on the page: a bar of buttons, the plot, its table.
function plot(spec) {
  const {plotted, bands} = withSpreads(spec.series);
  const all = {
    min: spec.x.first ?? spec.x.values[0] ?? 0,
    max: spec.x.last ?? spec.x.values.at(-1) ?? 1,
  };
  if (all.min === all.max) all.max = all.min + 1;
  // uPlot offers what the values span, at first and after a double click.
  const [first, last] = [spec.x.values[0], spec.x.values.at(-1)];
  const rangeOfX = (u, min, max) => min === null ||
      (min === first && max === last) ? [all.min, all.max] : [min, max];
  const host = el("div", {class: "plot", role: "img", "aria-label": spec.label});
  const group = spec.group || new ZoomGroup();
  const path = (one) => kPaths[spec.kind || "steps"](
      spec.series.indexOf(one.of), spec.series.length);
  const options = {
    width: 600,
    height: spec.height || 260,
    legend: {show: false},
    focus: {alpha: 0.25},
    cursor: {
      drag: {x: true, y: Boolean(spec.zoomY), uni: 20},
      focus: {prox: spec.series.length > 4 ? 24 : -1},
      points: {show: spec.kind !== "cells"},
      ...(spec.group ? {sync: {
        key: spec.group.key, setSeries: false,
        filters: {pub: (type) => type === "mousemove" || type === "mouseleave"},
      }} : {}),
      ...(spec.zoomY ? {} : {y: false}),
    },
    scales: {
      x: {time: false, range: rangeOfX},
      y: spec.y.all ? {
            dir: spec.y.dir || 1,
            range: (u, min, max) =>
              min === null ? [spec.y.all.min, spec.y.all.max] : [min, max],
          }
        : {...(spec.y.log ? kLogScale : {}), range: (u, min, max) => {
          const top = max || 1;
          return spec.y.fit && min !== null
              ? uPlot.rangeNum(min, max, 0.1, false) : [0, top * 1.06];
        }},
    },
    axes: [axis({...spec.x, space: spec.x.space || 70}, 34),
           axis(spec.y, spec.y.width || 68)],
    series: [{}, ...plotted.map((one) => ({
      show: !one.of.hidden,
      stroke: one.color,
      width: one.color ? one.width || 2 : 0,
      dash: one.dash,
      fill: spec.kind === "bars" ? `${one.color}cc` : undefined,
      paths: one.color ? path(one) : () => null,
      points: {show: Boolean(one.points), size: 7, fill: one.color},
    }))],
    bands,
    plugins: [tooltip(spec), touch((min, max) => zoomTo(min, max))],
    hooks: {
      drawClear: spec.draw ? [spec.draw] : [],
      setScale: [(u, scale) => {
        if (scale === "x" && u.root.isConnected) {
          group.set({min: u.scales.x.min, max: u.scales.x.max});
        }
      }],
    },
  };
  const u = new uPlot(options,
                      [spec.x.values, ...plotted.map((one) => one.values)],
                      host);
  const zoomTo = (min, max) => group.set({
    min: Math.max(all.min, min), max: Math.min(all.max, max),
  });
  const zoomBy = (factor) => {
    const {min, max} = u.scales.x;
    const half = (max - min) * factor / 2;
    zoomTo((min + max) / 2 - half, (min + max) / 2 + half);
  };
  const reset = () => {
    if (spec.zoomY) u.setScale("y", {...spec.y.all});
    group.set({...all});
  };
  // Of a single x uPlot makes a range of its own.
  u.setScale("x", group.range || {...all});
  group.add(u);
  host.uplot = u;
  new ResizeObserver(() => {
    const width = Math.floor(host.clientWidth);
    if (width > 0 && width !== u.width) u.setSize({width, height: u.height});
  }).observe(host);
  const toggle = (at, on) => plotted.forEach((one, i) => {
    if (one.of === spec.series[at]) u.setSeries(i + 1, {show: on});
  });
  const button = (text, name, run) => el(
      "button", {type: "button", "aria-label": name, title: name, onclick: run},
      text);
  return [
    el("div", {class: "bar"}, legend(spec, toggle), spec.controls || [],
       el("span", {class: "zoom"}, button("+", "zoom in", () => zoomBy(0.5)),
          button("−", "zoom out", () => zoomBy(2)),
          button("all", "show all of it", reset))),
    host,
    tableDetails("Table", () => spec.table ? spec.table() : plotTable(spec)),
  ];
}

// A plot whose spec is made anew whenever its choice changes.
function chosenPlot(label, choices, make) {
  const box = el("div", {});
  const show = (choice) => {
    const spec = make(choice);
    const controls = [select(label, choices, choice, show),
                      ...(spec.controls || [])];
    box.replaceChildren(...plot({...spec, controls}));
  };
  show(choices[0][0]);
  return box;
}
