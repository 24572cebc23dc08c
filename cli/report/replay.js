// The page of a replay: the figures that --json has, and how they came about.

class ReplayPage {
  constructor(run, at) {
    this.run = run;
    this.at = at;
  }

  tiles() {
    const f = this.run.figures;
    const moved = f.bytes_moved.to_vram + f.bytes_moved.from_vram;
    const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
    const clean = f.bytes_wrong === 0 && f.rule_violations === 0;
    return el("div", {class: "tiles"},
        tile("moved", bytesText(moved), "to VRAM and from it"),
        tile("GPU stalled", timeText(f.stall_ns),
             `of ${timeText(f.simulated_ns)}, virtual`),
        tile("in place", percentText(f.validate_hits / (f.validates || 1)),
             `of ${grouped(f.validates)} validates`),
        tile("evictions", grouped(sum(f.gpu_evictions)),
             `from memory types; ${grouped(sum(f.dma_evictions))} DMA`),
        tile("verdict", clean ? "clean" : "WRONG",
             f.mode === "backed" ? `${bytesText(f.bytes_checked)} checked`
                                 : "accounts only", clean ? "good" : "bad"));
  }

  figures() {
    const rows = [];
    const add = (prefix, value) => {
      if (value !== null && typeof value === "object") {
        for (const [key, inner] of Object.entries(value)) {
          add(prefix ? `${prefix}.${key}` : key, inner);
        }
      } else {
        rows.push([prefix, value]);
      }
    };
    add("", this.run.figures);
    const unit = (key, value) => typeof value !== "number" ? null
        : /_ns$/.test(key) ? "ns" : /seconds$/.test(key) ? "seconds"
        : /bytes/.test(key) ? "bytes" : "count";
    const body = rows.map(([key, value]) => {
      const is = cell({key, unit: unit(key, value)}, {[key]: value});
      is.className = typeof value === "number" ? "num" : "words";
      return el("tr", {}, el("td", {}, key), is, el(
          "td", {class: "num"},
          Number.isInteger(value) ? grouped(value) : ""));
    });
    return card("All figures", "", "What --json says of this run.",
        scrolling(el("table", {class: "data",
                               "data-object": `runs.${this.at}.figures`},
                     el("tbody", {}, body))));
  }

  render() {
    const f = this.run.figures;
    const failed = f.error !== undefined;
    const counts = failed ? "" :
        ` ${grouped(f.records)} records, ${grouped(f.submissions)} ` +
        `submissions, ${grouped(f.frames)} frames.`;
    return [
      failed ? el("p", {class: "soft bad", id: "failed"},
                  `This run failed, and ends there: ${f.error}`) : [],
      el("p", {class: "soft"},
         `${f.trace} on machine ${f.machine}, ${f.mode}, VRAM ${bytesText(f.vram_bytes)}; ` +
         `DMA type ${f.dma_type}, on exhaustion ${f.dma_exhaustion}, placement ${f.placement}, eviction ` +
         `${f.eviction}.${counts}`),
      failed ? [] : this.tiles(),
      this.run.history
          ? new HistoryView(this.run.history, `runs.${this.at}.history`,
                            "at each submission").render()
          : [],
      this.figures(),
    ].flat();
  }
}

function replayPage(data) {
  const box = el("div", {});
  const title = el("h1", {});
  const show = (at) => {
    title.textContent =
        `Replay of ${fileName(data.runs[at].figures.trace)}`;
    box.replaceChildren(...new ReplayPage(data.runs[at], Number(at)).render());
  };
  const choices = data.runs.map(
      (run, i) => [String(i), `${i + 1}: ${fileName(run.figures.trace)}`]);
  show("0");
  return [el("header", {}, title),
          data.runs.length > 1 ? select("which run", choices, "0", show) : "",
          box];
}
