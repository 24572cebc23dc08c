#!/usr/bin/env python3
"""Opens reports in Chromium and checks what a reader would see.

tests/report/check_reports.py FOLDER REPORT.html FIGURES.json ...

Each report has the file that --json wrote in the same run. At two widths, light
and dark: every plot is drawn, nothing is wider than the page, no error, no
request; tables say what the JSON says, and plots what their tables say; labels of
an axis are true, differ and have room; no sentence has a hole; pointing, zooming,
hiding and sorting work. On a phone two fingers zoom a plot, one scrolls the page, and
each table shows numbers. On a stress run's page each scenario is picked in turn, and
what its plots end at is what the table of scenarios says. Screenshots go to FOLDER.
"""
import json
import pathlib
import re
import sys

from browser import Browser, Page

LOOKS = [(width, scheme) for width in (1280, 390)
         for scheme in ("light", "dark")]

# Pixels of each plot that are neither empty nor of the grid; of those that were not
# asked for yet, as Chromium complains of canvases that are read again and again. Of
# how many of 40 upright strips there is nothing at all; and which colours of a map
# there are.
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
  const strips = new Set();
  const colours = new Set();
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] > 200 && far(at)) ++drawn;
    if (data[at + 3] > 0) strips.add(Math.floor(at / 4 % width / width * 40));
    colours.add((data[at] << 16) + (data[at + 1] << 8) + data[at + 2]);
  }
  const has = (name) => colours.has(parseInt(
      getComputedStyle(document.documentElement).getPropertyValue(name)
          .trim().slice(1), 16));
  return {label: host.ariaLabel, drawn, width: u.width,
          room: host.clientWidth, blank: 40 - strips.size,
          scale: [...host.previousElementSibling.querySelectorAll('.scale')]
              .flatMap(one => [...one.childNodes].map(node => node.textContent)),
          heats: [has('--heat-low'), has('--heat-high')]};
})"""

WIDER = """[...document.querySelectorAll('body *')].filter(element =>
    !element.closest('.scroll, svg') &&
    element.getBoundingClientRect().right > innerWidth + 0.5)
  .map(element => element.tagName + '.' + element.className)
  .concat(document.documentElement.scrollWidth > innerWidth
      ? ['the page'] : [])"""

# What holds more than it has room for, and is not made to scroll.
CRAMPED = """[...document.querySelectorAll('main *')].filter(element =>
    element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1 &&
    !element.closest('.scroll, .plot, svg, select'))
  .map(element => `${element.tagName}.${element.className}: ` +
                  element.textContent.slice(0, 40))"""

# Labels of axes: where, how wide, and how much room the axis has.
AXES = """(() => {
  const context = document.createElement('canvas').getContext('2d');
  return [...document.querySelectorAll('.plot')].flatMap(host => {
    const u = host.uplot;
    return u.axes.map((axis, i) => {
      context.font = axis.font[0];
      const labels = (axis._values || []).map((text, at) => ({
        text: String(text ?? ''), value: axis._splits[at],
        width: context.measureText(String(text ?? '')).width,
        at: u.valToPos(axis._splits[at], i === 0 ? 'x' : 'y') +
            (i === 0 ? u.bbox.left : u.bbox.top) / devicePixelRatio,
      })).filter(({text}) => text !== '');
      const scale = u.scales[i === 0 ? 'x' : 'y'];
      return {label: host.ariaLabel, upright: i === 1, labels,
              span: scale.max - scale.min, width: u.width,
              room: axis._size - 10};
    });
  });
})()"""

TEXTS = """[...document.querySelectorAll('main p, main summary, main h1, main h2')]
  .map(element => element.textContent)"""
# Where a word is missing, or one that only a program says.
HOLE = re.compile(r"[.,;:]\s+[.,;:]|,,|undefined|NaN|null|\[object|bo nobody"
                  r"|the 0 |  |\b1 (times|bins|samples)")

# Of each table with numbers: whether one of its first row is in sight, how wide the
# column that stays is, and whether a reader is told of columns out of sight.
IN_SIGHT = """[...document.querySelectorAll('.scroll')].filter(
    box => box.querySelector('tbody td[data-value]')).map(box => {
  box.scrollLeft = 0;
  const {left, right} = box.getBoundingClientRect();
  const row = box.querySelector('tbody td[data-value]').parentNode;
  const name = row.cells[0].getBoundingClientRect();
  return {
    text: row.textContent.slice(0, 60),
    name: (name.right - left) / (right - left),
    seen: [...row.querySelectorAll('td.num')].some(td => {
      const is = td.getBoundingClientRect();
      return is.right <= right && is.left >= (td === row.cells[0] ? left
                                                                  : name.right) - 1;
    }),
    wide: box.scrollWidth > box.clientWidth + 1,
    told: box.previousElementSibling.offsetHeight > 0,
  };
})"""

OPEN = "document.querySelectorAll('details').forEach(d => { d.open = true; })"

TABLES = """[...document.querySelectorAll('table.data')].map(table => ({
  source: table.dataset.source || null,
  object: table.dataset.object || null,
  foot: Object.fromEntries([...table.querySelectorAll('tfoot td[data-value]')].map(
    td => [td.dataset.key, Number(td.dataset.value)])),
  cells: [...table.querySelectorAll('tbody td[data-key]')].map(td => [
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
# Of the first plot: where it is, and how much of x is in sight.
BOX = """(b => [b.left, b.top, b.width, b.height])(
    document.querySelector('.plot .u-over').getBoundingClientRect())"""
SPAN = "(s => s.max - s.min)(document.querySelector('.plot').uplot.scales.x)"

# Maps of evictions: from sizes of bos to the order of their creation.
BY_ORDER = """(lists => lists.forEach(list => {
  list.value = 'order';
  list.dispatchEvent(new Event('change'));
}))([...document.querySelectorAll('[aria-label="bos by what"]')])"""

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "us": 1e3, "ms": 1e6, "s": 1e9,
         "%": 0.01, "ns": 1, "k": 1e3, "M": 1e6}


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


def bo_text(row, key, group=1):
    """What a table calls a row's bo, or group of as many bos."""
    own, in_trace = row[key], row.get(f"{key}_in_trace")
    if own is None:
        return "nobody"
    if group > 1:
        return f"{own}–{own + group - 1}"
    return str(own) if in_trace in (None, own) else f"{own} (trace {in_trace})"


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
                elif key in ("victim", "for_bo"):
                    group = 1
                    if ".by_order." in table["source"]:
                        group = at_path(data, table["source"][:-len(".rows")])[
                            "bos_per_group"]
                    expected = bo_text(
                        at_path(data, table["source"])[int(index)], key, group)
                elif table["source"]:
                    expected = at_path(data, table["source"])[int(index)][key]
                else:
                    self.expect(value is None or says(text, value, key),
                                f"{key}: {text} is not {value}")
                    continue
                sourced += 1
                self.cell(expected, key, value, text,
                          table["object"] or f"{table['source']}.{index}")
            if table["foot"]:
                left = at_path(data, table["source"][:-len(".rows")])["left_out"]
                self.expect(table["foot"] == {key: left[key]
                                              for key in ("evictions", "bytes")},
                            f"others are {table['foot']}, must be {left}")
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
            if plot["label"].startswith("Address space"):
                self.expect(plot["blank"] == 0, f"{where}: {plot['label']}: "
                            f"nothing in {plot['blank']} of 40 strips")
            if plot["label"].startswith("Who"):
                ends = plot["scale"]
                self.expect(plot["heats"] == [len(ends) > 1, True],
                            f"{where}: colours of the map of {ends}")
        self.axes(page, where)
        for text in page.evaluate(TEXTS):
            self.expect(not HOLE.search(text), f"{where}: has a hole: {text}")
        cramped = page.evaluate(CRAMPED)
        self.expect(not cramped, f"{where}: wider than its box: {cramped[:5]}")

    def axes(self, page, where):
        for axis in page.evaluate(AXES):
            where_ = f"{where}: {axis['label']}, {'y' if axis['upright'] else 'x'}"
            labels = sorted(axis["labels"], key=lambda label: label["at"])
            texts = [label["text"] for label in labels]
            self.expect(len(set(texts)) == len(texts),
                        f"{where_}: labels are alike: {texts}")
            for one, next_ in zip(labels, labels[1:]):
                least = 12 if axis["upright"] else (one["width"] + next_["width"]) / 2
                self.expect(next_["at"] - one["at"] >= least,
                            f"{where_}: {one['text']} is over {next_['text']}")
            for label in labels:
                if axis["upright"]:
                    fits = label["width"] <= axis["room"]
                else:
                    fits = (label["width"] / 2 <= label["at"] <=
                            axis["width"] - label["width"] / 2)
                self.expect(fits, f"{where_}: {label['text']} has no room")
                if axis["upright"] and not axis["label"].startswith("Who"):
                    self.expect(self.true(label, axis["span"]),
                                f"{where_}: {label['text']} is {label['value']}")

    @staticmethod
    def true(label, span):
        number, _, unit = label["text"].partition(" ")
        value = float(number) * (UNITS[unit] if unit else 1)
        off = abs(value - label["value"])
        # Of a logarithmic one the ticks below say nothing of those above.
        return off <= abs(label["value"]) * 0.01 and off <= span * 0.01

    def phone(self, page):
        """Numbers in sight, and fingers on the first plot."""
        for table in page.evaluate(IN_SIGHT):
            self.expect(table["seen"], f"no number in sight: {table['text']}")
            self.expect(table["name"] <= 0.5, f"the first column takes "
                        f"{table['name']:.0%}: {table['text']}")
            self.expect(table["told"] == table["wide"],
                        f"a table that is {'' if table['wide'] else 'not '}too "
                        f"wide {'says so' if table['told'] else 'does not say so'}")
        page.evaluate("document.querySelector('.plot').scrollIntoView("
                      "{block: 'center'})")
        page.settle()
        left, top, width, height = page.evaluate(BOX)
        middle = top + height / 2
        whole = page.evaluate(SPAN)
        page.touch([[(left + width * (0.5 - part), middle),
                     (left + width * (0.5 + part), middle)]
                    for part in (0.1, 0.2, 0.3, 0.4)])
        zoomed = page.evaluate(SPAN)
        self.expect(0 < zoomed < whole * 0.5,
                    f"two fingers zoom: {zoomed} {whole}")
        before = page.evaluate("scrollY")
        page.touch([[(left + width / 2, middle - step)]
                    for step in range(0, 100, 10)])
        self.expect(page.evaluate("scrollY") > before + 40,
                    "one finger on a plot scrolls the page")
        self.expect(page.evaluate(SPAN) == zoomed, "and does not zoom")

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
        left, top, width, height = page.evaluate(BOX)
        page.mouse("mouseMoved", left + width * 0.5, top + height * 0.5)
        page.settle()
        self.expect(page.evaluate(
            "(t => !t.hidden && /\\d/.test(t.textContent))"
            "(document.querySelector('.plot .tip'))"), "pointing shows values")
        whole = page.evaluate(SPAN)
        page.mouse("mousePressed", left + width * 0.3, top + height * 0.5,
                   button="left", clickCount=1)
        page.mouse("mouseMoved", left + width * 0.6, top + height * 0.5,
                   button="left")
        page.mouse("mouseReleased", left + width * 0.6, top + height * 0.5,
                   button="left", clickCount=1)
        page.settle()
        zoomed = page.evaluate(SPAN)
        self.expect(zoomed < whole * 0.5, f"dragging zooms: {zoomed} {whole}")
        page.evaluate("document.querySelector('[title=\"show all of it\"]')"
                      ".click()")
        page.settle()
        self.expect(abs(page.evaluate(SPAN) - whole) < whole * 1e-6,
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
        page.evaluate(BY_ORDER)
        page.settle()
        self.drawn(page, f"{where}, by order")
        if (width, scheme) == LOOKS[0]:
            self.tables(page)
        page.evaluate(OPEN)
        page.settle()
        wider = page.evaluate(WIDER)
        self.expect(not wider, f"{where}: wider than the page: {wider[:5]}")
        if width < 600:
            self.phone(page)
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
