// How a run came about: where everything was over time, what that cost, and who
// was evicted for whom.

const kMovedNames = {
  to_vram: "to VRAM", from_vram: "from VRAM",
  dma_evict_copy: "copied back by DMA eviction", bounce: "bounced",
  swap_out: "swapped out", swap_in: "swapped in",
};

// Series of a group that are not 0 throughout, and the names of those that are.
function seriesOf(timeline, group) {
  const all = timeline.series.filter((series) => series.group === group);
  const silent = (series) => (series.max || series.last).every((v) => v === 0);
  return {shown: all.filter((series) => !silent(series)),
          silent: all.filter(silent).map((series) => series.name)};
}

function lineOf(series, style, name) {
  return {name: name || series.name, values: series.last, low: series.min,
          high: series.max, ...lineStyle(style)};
}

// Of a sum: what each bin added.
function added(values) {
  return values.map((value, i) => value - (i === 0 ? 0 : values[i - 1]));
}

function hasFrames(timeline) {
  return timeline.frame.at(-1) > 0;
}

function timeAxis(timeline) {
  return {
    values: timeline.to_ns, unit: "ns", title: "time",
    first: 0, last: timeline.to_ns[timeline.to_ns.length - 1],
    more: hasFrames(timeline)
        ? [{title: "frame", unit: "count", values: timeline.frame}] : [],
  };
}

function alwaysNone(names) {
  return names.length === 0 ? "" : ` Always 0: ${listed(names)}.`;
}

// `when`: what samples were taken at, beside both ends.
function samplesText(timeline, when) {
  const bins = timeline.to_ns.length;
  return timeline.samples_per_bin === 1
      ? `Sampled ${counted(timeline.samples, "time")}, at both ends and ` +
        `${when}: every sample is shown.`
      : `${grouped(timeline.samples)} samples, taken at both ends and ` +
        `${when}, are in ${counted(bins, "bin")} of ` +
        `${grouped(timeline.samples_per_bin)}: a ` +
        `line has the last of each bin, its shade the least and the ` +
        `largest; sums lose nothing but where in a bin they grew.`;
}

// How much there is, where that is in sight.
function capacityLine(series, style) {
  const most = Math.max(...(series.max || series.last));
  return most < 0.5 * series.capacity ? [] : [{
    name: `all of ${series.name}`, color: lineStyle(style).color, dash: [2, 4],
    width: 1, values: series.last.map(() => series.capacity),
  }];
}

// history: as in docs/reports.md. `source`: where in the data it stands. `when`:
// what samples were taken at, beside both ends.
class HistoryView {
  constructor(history, source, when) {
    this.history = history;
    this.source = source;
    this.when = when;
    this.time = `${history.clock} time`;
    this.timeline = history.timeline;
    this.group = new ZoomGroup(source);
    this.x = timeAxis(this.timeline);
  }

  titleAt(at) {
    const {to_ns, frame} = this.timeline;
    return timeText(to_ns[at]) +
        (hasFrames(this.timeline) ? `, frame ${grouped(frame[at])}` : "");
  }

  overTime(label, unit, series) {
    return {label, x: this.x, y: {unit}, series, group: this.group,
            alwaysLegend: true, titleAt: (at) => this.titleAt(at)};
  }

  // A plot of sums, or of what was added to them.
  sums(label, unit, series) {
    return chosenPlot("what to show", [
      ["sum", "sum so far"], ["added", "added in each bin"],
    ], (choice) => this.overTime(label, unit, choice === "sum" ? series
        : series.map((one) => ({...one, values: added(one.values)}))));
  }

  memory() {
    const {shown, silent} = seriesOf(this.timeline, "memory");
    const lines = shown.flatMap((series, i) =>
        [lineOf(series, i), ...capacityLine(series, i)]);
    const all = seriesOf(this.timeline, "bos").shown
        .map((series) => lineOf(series, 7));
    if (lines.length + all.length === 0) {
      return card("Residency by memory type", "", "There was no bo.");
    }
    const fullest = shown.map((series) => {
      const full = series.last.filter(
          (used) => used >= 0.95 * series.capacity).length;
      return `${series.name} (${bytesText(series.capacity)}) was ` +
          (full === 0 ? "never 95 % full" : `95 % full or more in ` +
           `${percentText(full / series.last.length)} of the bins`);
    });
    return card("Residency by memory type", `bytes over ${this.time}`,
        `What is in use of each memory type, beside all bos alive; together ` +
        `it may be more, as what bos that are gone leave behind is taken ` +
        `back when somebody needs it.` +
        (fullest.length === 0 ? "" : ` ${fullest.join("; ")}.`) +
        alwaysNone(silent),
        plot(this.overTime("Bytes in each memory type over time", "bytes",
                           [...lines, ...all])));
  }

  dma() {
    const {shown, silent} = seriesOf(this.timeline, "dma");
    if (shown.length === 0) {
      return card("Residency by DMA type", "", "Nothing was bound.");
    }
    return card("Residency by DMA type", `bytes bound over ${this.time}`,
        `What is bound through each DMA type. Bos in VRAM need no DMA binding.` +
        alwaysNone(silent),
        plot(this.overTime("Bytes bound through each DMA type over time",
                           "bytes", shown.map(
                               (series, i) => lineOf(series, i + 2)))));
  }

  moved() {
    const {shown, silent} = seriesOf(this.timeline, "bytes_moved");
    if (shown.length === 0) {
      return card("Bytes moved", "", "No contents were copied anywhere.");
    }
    return card("Bytes moved", `bytes over ${this.time}`,
        `Copies of contents, by where to; what is moved costs time on the ` +
        `copy engines and the bus.` +
        alwaysNone(silent.map((name) => kMovedNames[name])),
        this.sums("Bytes moved over time", "bytes", shown.map(
            // Dashed: what comes back is often as much as what went.
            (series, i) => ({...lineOf(series, i, kMovedNames[series.name]),
                             dash: kDashes[i % 2]}))));
  }

  evictions() {
    const gpu = seriesOf(this.timeline, "gpu_evictions");
    const dma = seriesOf(this.timeline, "dma_evictions");
    const lines = [
      ...gpu.shown.map((series, i) => lineOf(series, i, `from ${series.name}`)),
      ...dma.shown.map((series, i) =>
          lineOf(series, i + 2, `DMA: ${series.name}`)),
    ];
    if (lines.length === 0) {
      return card("Evictions", "", "Nobody was evicted.");
    }
    return card("Evictions", `bos over ${this.time}`,
        `Bos that lost their place in a memory type or their DMA binding so ` +
        `that others had room.` + alwaysNone([...gpu.silent, ...dma.silent]),
        this.sums("Evictions over time", "count", lines));
  }

  stalls() {
    const {stalls, timeline} = this.history;
    const of = (name) => timeline.series.find(
        (series) => series.group === "stall" && series.name === name);
    if (stalls.submissions === 0) {
      return card("Stalls", "", "The GPU never waited for a submission's bos.");
    }
    const sum = of("sum");
    const each = of("each");
    const worst = () => table([
      {key: "stall_ns", title: "stall", unit: "ns"},
      {key: "asked_ns", title: "asked for at", unit: "ns"},
      ...(hasFrames(timeline)
          ? [{key: "frame", title: "frame", unit: "count"}] : []),
      {key: "submission", title: "submission", unit: "count"},
      {key: "evictions", title: "evicted for it", unit: "count"},
      {key: "evicted_bytes", title: "of bytes", unit: "bytes"},
      {key: "moved_bytes", title: "moved for it", unit: "bytes"},
    ], stalls.rows, `${this.source}.stalls.rows`);
    const make = (choice) => choice === "sum"
        ? this.overTime("Stall so far", "ns", [lineOf(sum, 5, "stall so far")])
        : this.overTime("Stall of a submission", "ns", [{
            name: "longest stall of a bin", values: each.max || each.last,
            ...lineStyle(5)}]);
    return card("Stalls", this.time,
        `How long the GPU had nothing to do while a submission waited for ` +
        `its bos or for other queues: ${timeText(stalls.stall_ns)} in all, ` +
        `in ${counted(stalls.submissions, "submission")}; the longest took ` +
        `${timeText(stalls.rows[0].stall_ns)}.`,
        chosenPlot("what to show", [["each", "of single submissions"],
                                    ["sum", "sum so far"]], make),
        tableDetails(stalls.rows.length < stalls.submissions
            ? `Table: the ${stalls.rows.length} longest`
            : "Table: all that stalled", worst));
  }

  // The pairs with most bytes; what is not among them stands at the foot.
  pairs() {
    const {rows, left_out: left, pairs} = this.history.evictions;
    const make = () => table([
      {key: "victim", title: "evicted bo", text: boText},
      {key: "for_bo", title: "for bo", text: boText},
      {key: "bytes", title: "bytes", unit: "bytes"},
      {key: "evictions", title: "times", unit: "count"},
      {key: "limit", title: "what was short"},
      {key: "from", title: "from"},
      {key: "to", title: "to"},
    ], rows, `${this.source}.evictions.rows`, left.pairs === 0 ? null : {
      victim: "others", for_bo: "others", limit: "–", from: "–", to: "–",
      evictions: left.evictions, bytes: left.bytes,
    });
    return tableDetails(left.pairs === 0
        ? "Table: all pairs" : `Table: the ${counted(rows.length, "pair")} ` +
          `with most bytes, of ${grouped(pairs)}`, make);
  }

  map() {
    const {evictions} = this.history;
    if (evictions.rows.length === 0) return [];
    const first = evictions.rows[0];
    const source = `${this.source}.evictions`;
    return card("Who pushed out whom", "bytes, of all evictions",
        `Columns are bos that needed room, rows those that went for it: by ` +
        `size, rounded down to a power of two, or neighbours in the order in ` +
        `which they were created. All are in it: ` +
        `${counted(evictions.evictions, "eviction")}, ` +
        `${bytesText(evictions.bytes)}. Most bytes of a pair: ` +
        `${boName(first, "victim")} left ${first.from} for ` +
        `${boName(first, "for_bo")}, ${counted(first.evictions, "time")}, ` +
        `${bytesText(first.bytes)}.`,
        chosenPlot("bos by what", [["size", "by size"],
                                   ["order", "by order of creation"]],
                   (choice) => choice === "size"
            ? evictionMap(bySize(evictions.by_size, `${source}.by_size`))
            : evictionMap(byOrder(evictions.by_order,
                                  `${source}.by_order.rows`))),
        this.pairs());
  }

  spaces() {
    const {spaces, spaces_not_seen: unseen} = this.history;
    const time = {first: this.x.first, last: this.x.last, group: this.group,
                  of: this.time};
    return [
      ...spaces.map((space) => spaceCard(space, time)),
      ...unseen.map((name) => this.unseenSpace(name)),
    ];
  }

  // Of a buddy allocator only the largest hole is known.
  unseenSpace(name) {
    const of = (group) => this.timeline.series.find(
        (series) => series.group === group && series.name === name);
    const hole = of("largest_hole");
    if (!hole) {
      return card(`Address space: ${name}`, "", "Not looked into: some " +
          "addresses always waited for a flush, which looking would have " +
          "changed.");
    }
    const free = of("memory").last.map((used) => hole.capacity - used);
    return card(`Address space: ${name}`, `bytes over ${this.time}`,
        "Where its holes were is not known, as a buddy allocator hands it " +
        "out; the largest it would have granted is.",
        plot({...this.overTime(
            `Free space and largest hole of ${name} over time`, "bytes", [
              {name: "free in all", values: free, ...lineStyle(7)},
              lineOf(hole, 3, "largest hole")]), height: 170}));
  }

  render() {
    return [
      el("p", {class: "soft"}, samplesText(this.timeline, this.when) +
         " Drag over a plot to zoom, two fingers on a phone; plots over time " +
         "zoom together."),
      this.memory(), this.dma(), this.moved(), this.evictions(), this.stalls(),
      this.map(), this.spaces(),
    ].flat();
  }
}
