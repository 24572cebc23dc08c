// The page of a comparison: what each policy cost, against the one that knows
// the future.

const kBelady = "belady";

const kMetrics = [
  {key: "bytes_moved", title: "bytes moved", unit: "bytes"},
  {key: "miss_bytes", title: "bytes missed", unit: "bytes"},
  {key: "misses", title: "misses", unit: "count"},
  {key: "regret", title: "more than belady", unit: "signed_part"},
  {key: "stall_ns", title: "GPU stalled", unit: "ns"},
  {key: "simulated_ns", title: "whole run", unit: "ns"},
  {key: "bus_bytes", title: "used over the bus", unit: "bytes"},
  {key: "dma_evictions", title: "DMA evictions", unit: "count"},
];

// Rows of one trace and placement, which make one plot.
function groupsOf(rows) {
  const groups = new Map();
  for (const row of rows) {
    const key = JSON.stringify([row.trace, row.placement]);
    if (!groups.has(key)) {
      groups.set(key, {trace: row.trace, placement: row.placement, rows: []});
    }
    groups.get(key).rows.push(row);
  }
  return [...groups.values()];
}

function policyStyle(policies, policy) {
  return policy === kBelady
      ? {color: color("ink"), dash: [6, 4], width: 3}
      : lineStyle(policies.filter((name) => name !== kBelady).indexOf(policy));
}

// A line a policy, over the capacities.
function curves(group, policies, metric) {
  const at = [...new Set(group.rows.map((row) => row.capacity_bytes))]
      .sort((a, b) => a - b);
  const lineFor = (test, key) => at.map((capacity) => {
    const row = group.rows.find(
        (one) => one.capacity_bytes === capacity && test(one));
    return row ? row[key] : null;
  });
  const series = policies.map((name) => ({
    name, points: true, ...policyStyle(policies, name),
    values: lineFor((row) => row.eviction === name, metric.key),
  }));
  const least = lineFor((row) => row.least_bytes !== null, "least_bytes");
  const bounded = metric.key ===
      (group.placement === null ? "miss_bytes" : "bytes_moved");
  if (bounded && least.some((value) => value !== null)) {
    series.push({name: "no policy does with less", color: color("c7"),
                 dash: [2, 3], points: true, values: least});
  }
  const capacity = (bytes) => group.rows.find(
      (row) => row.capacity_bytes === bytes).capacity;
  return {at, series, capacity};
}

function capitalized(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function verdict(group, metric) {
  const sums = new Map();
  for (const row of group.rows.filter((row) => row.regret !== null)) {
    sums.set(row.eviction, (sums.get(row.eviction) || 0) + row[metric.key]);
  }
  const best = sums.get(kBelady);
  sums.delete(kBelady);
  if (!best || sums.size === 0) return "No row can be held against belady.";
  const order = [...sums].map(([name, sum]) => [name, sum / best - 1])
      .sort((a, b) => a[1] - b[1]);
  if (order.at(-1)[1] - order[0][1] < 0.001) {
    return `${capitalized(metric.title)} at each capacity. Who is evicted ` +
        `makes no difference here: summed, all policies come within ` +
        `0.1 % of one another, ${signedPercentText(order[0][1])} against ` +
        `belady, which knows what is used next.`;
  }
  const said = ([name, regret]) => `${name} (${signedPercentText(regret)})`;
  return `${capitalized(metric.title)} at each capacity. belady knows what is ` +
      `used next; against it, summed over the capacities, ${said(order[0])} ` +
      `does best` +
      (order.length > 1 ? `, and ${said(order.at(-1))} worst.` : ".");
}

class ComparePage {
  constructor(figures) {
    this.figures = figures;
    this.twoStep = figures.mode === "two-step";
    this.policies = [...new Set(figures.rows.map((row) => row.eviction))];
    this.metrics = kMetrics.filter(({key}) =>
        figures.rows.some((row) => row[key] !== null));
  }

  plotOf(group, key) {
    const metric = this.metrics.find((one) => one.key === key);
    const {at, series, capacity} = curves(group, this.policies, metric);
    const part = metric.unit === "signed_part";
    return {
      label: `${metric.title} over capacity, by eviction policy`,
      x: {values: at, unit: "bytes", title: "capacity", space: 80,
          more: [{title: "as asked for", values: at.map(capacity)}],
          first: at[0] * 0.95, last: at.at(-1) * 1.02},
      y: {unit: part ? "signed_part" : metric.unit, fit: part,
          ...(part ? {ticks: (v) => `${Math.round(v * 100)} %`} : {})},
      series, kind: "line", height: 320, sortTooltip: true,
      titleAt: (i) => `${capacity(at[i])}: ${bytesText(at[i])}`,
    };
  }

  groupCard(group) {
    const choices = this.metrics.map(({key, title}) => [key, title]);
    return card(
        fileName(group.trace) + (group.placement ? `, ${group.placement}` : ""),
        `over ${this.twoStep ? "bytes of VRAM" : "bytes of the cache"}`,
        verdict(group, this.metrics[0]),
        chosenPlot("what to show", choices, (key) => this.plotOf(group, key)));
  }

  rowsCard() {
    const columns = [
      ...["trace", "placement"].filter((key) => new Set(
          this.figures.rows.map((row) => row[key])).size > 1).map(
          (key) => ({key, title: key})),
      {key: "capacity", title: "capacity"},
      {key: "capacity_bytes", title: "in bytes", unit: "bytes"},
      {key: "eviction", title: "eviction"},
      ...this.metrics.map(({key, title, unit}) => ({key, title, unit})),
      {key: "least_bytes", title: "least", unit: "bytes"},
      ...(this.figures.rows.some((row) => row.error !== null)
          ? [{key: "error", title: "did not run", long: true}] : []),
    ];
    return card("All cells", "", "What --json says, a row a cell; a click on " +
                "a head sorts.", table(columns, this.figures.rows,
                                       "figures.rows"));
  }

  render() {
    const {rows, simulated, cells, shard, shards} = this.figures;
    const failed = rows.filter((row) => row.error !== null).length;
    const groups = groupsOf(rows);
    return [
      el("header", {}, el("h1", {}, "Eviction policies compared")),
      el("p", {class: "soft"}, `Simulated: ${simulated}. ${grouped(cells)} ` +
         `cells` + (shards > 1 ? `, of which this is shard ${shard} of ` +
                                 `${shards}` : "") + ". " +
         "Drag over a plot to zoom; a policy's name hides it or shows it."),
      failed === 0 ? "" : el("p", {class: "bad"},
          `${grouped(failed)} cells could not run: the table says why.`),
      ...groups.map((group) => this.groupCard(group)),
      this.rowsCard(),
    ];
  }
}
