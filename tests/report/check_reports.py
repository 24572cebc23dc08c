#!/usr/bin/env python3
"""Opens reports in Chromium and checks what a reader would see.

tests/report/check_reports.py FOLDER REPORT.html FIGURES.json ...

Each report has the file that --json wrote in the same run. At two widths, light
and dark: every plot is drawn, nothing is wider than the page, no error, no
request; tables say what the JSON says, and plots what their tables say; pointing,
zooming, hiding and sorting work. On a stress run's page each scenario is picked in
turn, and what its plots end at is what the table of scenarios says. Screenshots go
to FOLDER.
"""
import json
import pathlib
import re
import sys

from browser import Browser, Page

LOOKS = [(width, scheme) for width in (1280, 390)
         for scheme in ("light", "dark")]

# Pixels of each plot that are neither empty nor of the grid; of those that were not
# asked for yet, as Chromium complains of canvases that are read again and again.
DRAWN = """[...document.querySelectorAll('.plot:not([data-read])')].map(host => {
  host.dataset.read = "";
  const u = host.uplot;
  const {left, top, width, height} = u.bbox;
  const data = u.ctx.getImageData(left, top, width, height).data;
  const grid = getComputedStyle(document.documentElement)
      .getPropertyValue('--grid').trim();
  const far = (at) => [1, 3, 5].reduce((sum, i, channel) => sum + Math.abs(
      parseInt(grid.slice(i, i + 2), 16) - data[at + channel]), 0) > 40;
  let drawn = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] > 200 && far(at)) ++drawn;
  }
  return {label: host.ariaLabel, drawn, width: u.width,
          room: host.clientWidth};
})"""

WIDER = """[...document.querySelectorAll('body *')].filter(element =>
    !element.closest('.scroll, svg') &&
    element.getBoundingClientRect().right > innerWidth + 0.5)
  .map(element => element.tagName + '.' + element.className)
  .concat(document.documentElement.scrollWidth > innerWidth
      ? ['the page'] : [])"""

OPEN = "document.querySelectorAll('details').forEach(d => { d.open = true; })"

TABLES = """[...document.querySelectorAll('table.data')].map(table => ({
  source: table.dataset.source || null,
  object: table.dataset.object || null,
  cells: [...table.querySelectorAll('td[data-key]')].map(td => [
    td.parentNode.dataset.index, td.dataset.key,
    td.dataset.value === undefined ? null : Number(td.dataset.value),
    td.textContent]),
}))"""

# What is plotted, and the table under it, if that is made from it.
PLOTTED = """[...document.querySelectorAll('.plot')].map(host => ({
  label: host.ariaLabel,
  data: host.uplot.data.map(values => [...values]),
  cells: [...host.nextElementSibling.querySelectorAll('td[data-key^="s"]')]
    .filter(td => /^s\\d+\\.\\d$/.test(td.dataset.key))
    .map(td => [Number(td.parentNode.dataset.index), td.dataset.key,
                td.dataset.value === undefined
                    ? null : Number(td.dataset.value)]),
}))"""

# Of a stress run's page: to pick a scenario, which one is, and what the plot of its
# evictions ends at.
PICK = """(list => { list.value = '%d'; list.dispatchEvent(new Event('change')); })(
    document.querySelector('select[aria-label="which scenario"]'))"""
CHOSEN = "document.getElementById('scenario').textContent"
EVICTED = """[...document.querySelectorAll('.plot')].filter(
    host => host.ariaLabel === 'Evictions over time').flatMap(
    host => host.uplot.data.slice(1).map(values => values.at(-1)))
  .reduce((sum, one) => sum + one, 0)"""

# What the page says of a run that failed; empty where it says nothing.
FAILED = "document.getElementById('failed')?.textContent ?? ''"

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "us": 1e3, "ms": 1e6, "s": 1e9,
         "%": 0.01}


def says(text, value, key):
    """Whether a rounded text is of this number."""
    match = re.fullmatch(r"([+-]?[\d,]+(?:\.(\d+))?)(?: (\S+))?", text)
    if not match:
        return False
    unit = UNITS[match[3]] if match[3] else 1
    if key.endswith("seconds"):
        unit = 1
    step = 10 ** -len(match[2] or "") * unit
    return abs(float(match[1].replace(",", "")) * unit - value) <= step * 0.501


def at_path(value, path):
    for key in path.split(".") if path else []:
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


class Check:
    def __init__(self, report, figures, folder):
        self.url = report.resolve().as_uri()
        self.name = report.stem
        self.folder = folder
        self.figures = json.loads(figures.read_text())
        self.failures = []
        self.checked = 0

    def expect(self, good, what):
        self.checked += 1
        if not good:
            self.failures.append(f"{self.name}: {what}")

    def data(self, page):
        """As embedded, with the figures of the other file in their place."""
        data = json.loads(page.evaluate(
            "document.getElementById('data').textContent"))
        if "runs" in data:
            runs = self.figures
            runs = runs if isinstance(runs, list) else [runs]
            self.expect([run["figures"] for run in data["runs"]] == runs,
                        "embedded figures are those of --json")
            for run, figures in zip(data["runs"], runs):
                run["figures"] = figures
        else:
            self.expect(data["figures"] == self.figures,
                        "embedded figures are those of --json")
            data["figures"] = self.figures
        return data

    def cell(self, expected, key, value, text, where):
        if expected is None:
            self.expect(text in ("–", "nobody"), f"{where} {key}: {text}, is null")
        elif isinstance(expected, (int, float)) and value is not None:
            self.expect(value == expected and says(text, expected, key),
                        f"{where} {key}: {text} ({value}), must be {expected}")
        else:
            self.expect(text == str(expected),
                        f"{where} {key}: {text}, must be {expected}")

    def tables(self, page):
        data = self.data(page)
        page.evaluate(OPEN)
        page.settle()
        sourced = 0
        for table in page.evaluate(TABLES):
            for index, key, value, text in table["cells"]:
                if table["object"]:
                    expected = at_path(at_path(data, table["object"]), key)
                elif table["source"]:
                    expected = at_path(data, table["source"])[int(index)][key]
                else:
                    self.expect(value is None or says(text, value, key),
                                f"{key}: {text} is not {value}")
                    continue
                sourced += 1
                self.cell(expected, key, value, text,
                          table["object"] or f"{table['source']}.{index}")
        self.expect(sourced > 10, "tables show what is in the JSON")
        if "runs" in data:
            error = data["runs"][0]["figures"].get("error", "")
            said = page.evaluate(FAILED)
            self.expect(said.endswith(error) and bool(said) == bool(error),
                        f"says of a failure '{said}', must be '{error}'")
        for plot in page.evaluate(PLOTTED):
            columns, at = {}, 1
            keys = sorted({key for _, key, _ in plot["cells"]})
            # The largest is plotted before the least.
            for series in sorted({int(key[1:].split(".")[0]) for key in keys}):
                parts = [key for key in keys if key.startswith(f"s{series}.")]
                for part, offset in zip(parts, (0, 2, 1)):
                    columns[part] = at + offset
                at += len(parts)
            for index, key, value in plot["cells"]:
                plotted = plot["data"][columns[key]][index]
                self.expect(plotted == value, f"{plot['label']}: {key} is "
                            f"{plotted} in the plot, {value} in its table")

    def drawn(self, page, where):
        for plot in page.evaluate(DRAWN):
            self.expect(plot["drawn"] > 20, f"{where}: {plot['label']}: "
                        f"{plot['drawn']} pixels drawn")
            self.expect(plot["width"] == plot["room"],
                        f"{where}: {plot['label']}: does not fit")

    def scenarios(self, page):
        """Each is picked from the list, and one more by its name in the table."""
        data = self.data(page)
        names = [one["scenario"] for one in data["histories"]]
        self.expect(names == [row["scenario"] for row in data["figures"]["rows"]],
                    "each scenario has its plots")
        for at, (name, row) in enumerate(zip(names, data["figures"]["rows"])):
            page.evaluate(PICK % at)
            page.settle()
            self.expect(page.evaluate(CHOSEN) == name, f"{name} is picked")
            self.drawn(page, name)
            self.tables(page)
            machines = data["histories"][at]["machines"]
            if row["seeds"] > 1 or row["runs"] > 1 or machines > 1:
                continue
            for kind in ("gpu_evictions", "dma_evictions"):
                ends = sum(series["last"][-1] for series in
                           data["histories"][at]["history"]["timeline"]["series"]
                           if series["group"] == kind)
                self.expect(ends == row[kind],
                            f"{name}: {kind} end at {ends}, not {row[kind]}")
            plotted = page.evaluate(EVICTED)
            self.expect(plotted == row["gpu_evictions"] + row["dma_evictions"],
                        f"{name}: evictions are plotted up to {plotted}")
        page.evaluate("document.querySelector('button.pick').click()")
        page.settle()
        clicked = page.evaluate("document.querySelector('button.pick').textContent")
        self.expect(page.evaluate(CHOSEN) == clicked, "a click on a name picks it")

    def hands_on(self, page):
        """Pointing, zooming, hiding and sorting, on the first plot."""
        page.evaluate("document.querySelector('.plot').scrollIntoView("
                      "{block: 'center'})")
        page.settle()
        box = page.evaluate("(b => [b.left, b.top, b.width, b.height])("
                            "document.querySelector('.plot .u-over')"
                            ".getBoundingClientRect())")
        left, top, width, height = box
        page.mouse("mouseMoved", left + width * 0.5, top + height * 0.5)
        page.settle()
        self.expect(page.evaluate(
            "(t => !t.hidden && /\\d/.test(t.textContent))"
            "(document.querySelector('.plot .tip'))"), "pointing shows values")
        span = ("(s => s.max - s.min)"
                "(document.querySelector('.plot').uplot.scales.x)")
        whole = page.evaluate(span)
        page.mouse("mousePressed", left + width * 0.3, top + height * 0.5,
                   button="left", clickCount=1)
        page.mouse("mouseMoved", left + width * 0.6, top + height * 0.5,
                   button="left")
        page.mouse("mouseReleased", left + width * 0.6, top + height * 0.5,
                   button="left", clickCount=1)
        page.settle()
        zoomed = page.evaluate(span)
        self.expect(zoomed < whole * 0.5, f"dragging zooms: {zoomed} {whole}")
        page.evaluate("document.querySelector('[title=\"show all of it\"]')"
                      ".click()")
        page.settle()
        self.expect(abs(page.evaluate(span) - whole) < whole * 1e-6,
                    "'all' shows all again")
        hidden = page.evaluate(
            "(key => { key.click(); const u = key.closest('section')"
            ".querySelector('.plot').uplot; const shown = u.series[1].show;"
            " key.click(); return [shown, u.series[1].show]; })"
            "(document.querySelector('button.key'))")
        self.expect(hidden == [False, True], f"a key hides: {hidden}")
        self.sort(page)

    def sort(self, page):
        values = page.evaluate("""(() => {
          const table = [...document.querySelectorAll('table.data')].find(
              one => one.tHead && one.querySelector('td[data-value]'));
          if (!table) return [];
          const key = table.querySelector('td[data-value]').dataset.key;
          const at = [...table.rows[1].cells].findIndex(
              td => td.dataset.key === key);
          table.tHead.querySelectorAll('button')[at].click();
          return [...table.querySelectorAll(`td[data-key="${key}"]`)].map(
              td => Number(td.dataset.value));
        })()""")
        self.expect(values == sorted(values, reverse=True), "a head sorts")

    def look(self, browser, width, scheme):
        page = Page(browser, self.url, width, scheme)
        where = f"{width}, {scheme}"
        self.drawn(page, where)
        page.screenshot(self.folder / f"{self.name}-{width}-{scheme}.png")
        self.expect(page.evaluate("document.querySelectorAll('.plot').length")
                    > 0, "there are plots")
        if (width, scheme) == LOOKS[0]:
            self.tables(page)
            self.hands_on(page)
            if "histories" in self.data(page):
                self.scenarios(page)
        else:
            page.evaluate(OPEN)
            page.settle()
        wider = page.evaluate(WIDER)
        self.expect(not wider, f"{where}: wider than the page: {wider[:5]}")
        for complaint in page.complaints(self.url):
            self.expect(False, f"{where}: {complaint}")
        page.close()


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    paths = [pathlib.Path(name) for name in sys.argv[2:]]
    failures, checked = [], 0
    browser = Browser()
    try:
        for report, figures in zip(paths[::2], paths[1::2]):
            check = Check(report, figures, folder)
            for width, scheme in LOOKS:
                check.look(browser, width, scheme)
            failures += check.failures
            checked += check.checked
            print(f"{'FAILED' if check.failures else 'ok':7} {report.stem}: "
                  f"{check.checked} checks")
    finally:
        browser.close()
    for failure in failures[:40]:
        print(f"  {failure}")
    return bool(failures) or checked == 0


if __name__ == "__main__":
    sys.exit(main())
