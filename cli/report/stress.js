// The page of a stress run: a verdict a scenario, how much each evicted, and how
// one of them, which the reader picks, came about.

const kStressColumns = [
  {key: "scenario", title: "scenario"},
  {key: "gpu_evictions", title: "GPU evictions", unit: "count"},
  {key: "dma_evictions", title: "DMA evictions", unit: "count"},
  {key: "bytes_checked", title: "checked", unit: "bytes"},
  {key: "bytes_wrong", title: "bytes wrong", unit: "count"},
  {key: "rule_violations", title: "rules broken", unit: "count"},
  {key: "failures", title: "failures", unit: "count"},
  {key: "hasty", title: "hasty", unit: "count"},
  {key: "operations", title: "operations", unit: "count"},
  {key: "first_seed", title: "first seed", unit: "count"},
  {key: "seeds", title: "seeds", unit: "count"},
  {key: "wall_seconds", title: "took", unit: "seconds"},
];

const kStressMetrics = [
  {key: "evictions", title: "evictions", unit: "count",
   series: [["gpu_evictions", "GPU evictions", 0],
            ["dma_evictions", "DMA evictions", 1]]},
  {key: "bytes_checked", title: "bytes checked", unit: "bytes",
   series: [["bytes_checked", "bytes checked", 2]]},
  {key: "operations", title: "operations", unit: "count",
   series: [["operations", "operations", 4]]},
  {key: "wall_seconds", title: "time taken", unit: "seconds",
   series: [["wall_seconds", "time taken", 5]]},
];

function familyOf(row) {
  return row.scenario.split("/")[0];
}

class StressPage {
  constructor({figures, histories}) {
    this.figures = figures;
    this.histories = histories;
    this.chosen = el("div", {});
    this.title = el("h2", {id: "scenario"});
    this.select = select("which scenario", histories.map(
        ({scenario}, i) => [String(i), scenario]), "", (at) =>
        this.show(Number(at)));
  }

  // The largest first: names stand in the table, and at the pointer.
  plotOf(rows, metric) {
    const keys = metric.series.map(([key]) => key);
    const sum = (row) => keys.reduce((all, key) => all + row[key], 0);
    const sorted = [...rows].sort((a, b) => sum(b) - sum(a));
    const at = sorted.map((_, i) => i);
    return {
      label: `${metric.title} of each scenario`,
      x: {values: at, first: -0.6, last: at.length - 0.4, unit: "plain",
          title: "scenario", names: sorted.map((row) => row.scenario),
          ticks: (i) => Number.isInteger(i) && i < at.length
              ? String(i + 1) : ""},
      y: {unit: metric.unit, log: metric.unit !== "seconds", width: 76},
      series: metric.series.map(([key, name, style]) => ({
        name, values: sorted.map((row) => row[key]), ...lineStyle(style),
      })),
      kind: "bars", height: 280, titleAt: (i) => sorted[i].scenario,
    };
  }

  scenarios(rows) {
    const box = el("div", {});
    const choices = kStressMetrics.map(({key, title}) => [key, title]);
    box.replaceChildren(chosenPlot("what to show", choices, (key) =>
        this.plotOf(rows, kStressMetrics.find((one) => one.key === key))));
    return box;
  }

  plots() {
    const {rows} = this.figures;
    const families = [...new Set(rows.map(familyOf))];
    const box = el("div", {});
    const show = (family) => box.replaceChildren(this.scenarios(
        rows.filter((row) => family === "" || familyOf(row) === family)));
    show("");
    return card("What the scenarios did", "a bar a scenario, the largest first",
        "Counts and bytes on a logarithmic scale, so that small ones are seen " +
        "beside large ones; whose a bar is stands at the pointer, and in the " +
        "table.",
        families.length < 2 ? [] : el("div", {class: "bar"}, select(
            "family of scenarios",
            [["", "all families"], ...families.map((name) => [name, name])],
            "", show)),
        box);
  }

  // After each round of a soak.
  resident() {
    const bytes = this.figures.resident_bytes || [];
    if (bytes.length < 2) return [];
    const rounds = bytes.map((_, i) => i + 1);
    return card("Memory after each round", "resident bytes",
        "Between rounds nothing of a scenario is alive: what goes on growing " +
        "is not given back.",
        plot({label: "Resident memory after each round",
              x: {values: rounds, unit: "count", title: "round"},
              y: {unit: "bytes"}, kind: "line",
              series: [{name: "resident", values: bytes, points: true,
                        ...lineStyle(3)}],
              titleAt: (i) => `round ${rounds[i]}`}));
  }

  // One that went wrong, or else where most was evicted.
  first() {
    const rank = (row) => [row.clean ? 0 : 1,
                           row.gpu_evictions + row.dma_evictions];
    const rows = this.histories.map(({scenario}) =>
        this.figures.rows.find((row) => row.scenario === scenario));
    let first = 0;
    rows.forEach((row, i) => {
      const [is, most] = [rank(row), rank(rows[first])];
      if (is[0] > most[0] || (is[0] === most[0] && is[1] > most[1])) first = i;
    });
    return first;
  }

  show(at) {
    const {scenario, run, machine, machines, history} = this.histories[at];
    this.select.value = String(at);
    this.title.textContent = scenario;
    const which = machines === 1 ? "" :
        ` It made ${grouped(machines)} machines one after the other; shown is ` +
        `number ${grouped(machine)}, on which most was evicted.`;
    const clock = history.clock === "virtual" ? "" :
        " Time is real, and has what watching costs in it; when a job begins " +
        "and ends is not known, so that stalls are from when it was asked " +
        "for to when it was queued.";
    this.chosen.replaceChildren(
        el("p", {class: "soft"}, `The last run of this scenario: ${run}.` +
           which + clock),
        ...new HistoryView(
            history, `histories.${at}.history`,
            "at each job and at each eviction that was for none").render());
  }

  // The plots that a replay has, of one scenario.
  history() {
    if (this.histories.length === 0) return [];
    this.show(this.first());
    return [
      el("div", {class: "bar chosen"}, this.title, this.select),
      this.chosen,
    ];
  }

  pick(row) {
    const at = this.histories.findIndex(
        ({scenario}) => scenario === row.scenario);
    return at < 0 ? null : () => {
      this.show(at);
      this.title.scrollIntoView();
    };
  }

  sumOf(key) {
    return this.figures.rows.reduce((sum, row) => sum + row[key], 0);
  }

  wrong() {
    const rows = this.figures.rows.filter((row) => !row.clean);
    return rows.length === 0 ? [] : card("What went wrong", "", "",
        rows.map((row) => el("div", {}, el("b", {class: "bad"}, row.scenario),
            el("ul", {},
               row.violations.map(({rule, what}) =>
                   el("li", {}, `${rule}: ${what}`)),
               row.first_failure ? el("li", {}, row.first_failure) : null,
               el("li", {}, "repeat: ", el("code", {}, row.repeat))))));
  }

  render() {
    const {rows, clean} = this.figures;
    const wrong = rows.filter((row) => !row.clean).length;
    return [
      el("header", {}, el("h1", {}, "Eviction stress")),
      el("div", {class: "tiles"},
         tile("verdict", clean ? "clean" : "WRONG", `${grouped(wrong)} of ` +
              `${grouped(rows.length)} scenarios wrong`,
              clean ? "good" : "bad"),
         tile("checked", bytesText(this.sumOf("bytes_checked")),
              `${grouped(this.sumOf("bytes_wrong"))} bytes wrong`),
         tile("GPU evictions", grouped(this.sumOf("gpu_evictions")),
              "from VRAM and apertures"),
         tile("DMA evictions", grouped(this.sumOf("dma_evictions")),
              "bindings given up"),
         tile("took", formats.seconds(this.sumOf("wall_seconds")),
              `${grouped(this.sumOf("operations"))} operations`)),
      this.wrong(),
      this.plots(),
      this.resident(),
      card("All scenarios", "", "What --json says; a click on a head sorts, " +
           "one on a name shows that scenario's plots below.",
           table(kStressColumns.map((column) => column.key === "scenario"
                     ? {...column, pick: (row) => this.pick(row)} : column),
                 rows, "figures.rows")),
      this.history(),
    ].flat();
  }
}
