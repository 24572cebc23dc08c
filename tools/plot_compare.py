#!/usr/bin/env python3
"""Draws the CSV of `twostep compare` as an SVG: one line a policy over the
capacities of one trace.

  tools/plot_compare.py sweep.csv bytes_moved [TRACE] > plot.svg

Lines are placement and eviction policies; TRACE picks rows by a part of the
trace's name.  The figure is any column of numbers.
"""
import csv
import html
import sys

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 360, 90, 40, 200, 50
COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf",
           "#8c564b", "#7f7f7f", "#e377c2", "#bcbd22"]
UNITS = {"ns": (1e6, "ms"), "bytes": (2 ** 20, "MiB"), "moved": (2 ** 20, "MiB")}


def text(x, y, what, anchor="middle", more=""):
    return '<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>' % (
        x, y, anchor, more, html.escape(what))


def draw(lines, capacities, label):
    top = max(y for points in lines.values() for _, y in points) or 1
    step = (WIDTH - LEFT - RIGHT) / max(len(capacities) - 1, 1)
    x_of = {capacity: LEFT + i * step for i, capacity in enumerate(capacities)}
    y_of = lambda y: HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" '
           'font-family="sans-serif" font-size="12">' % (WIDTH, HEIGHT),
           '<rect width="100%" height="100%" fill="white"/>',
           text(LEFT, TOP - 18, label, "start")]
    for part in range(5):
        y = top * part / 4
        out.append('<path d="M%d %.1fH%d" stroke="#ddd"/>' % (LEFT, y_of(y), WIDTH - RIGHT))
        out.append(text(LEFT - 8, y_of(y) + 4, "%.4g" % y, "end"))
    for capacity in capacities:
        out.append(text(x_of[capacity], HEIGHT - BOTTOM + 20, capacity))
    for i, (name, points) in enumerate(lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        out.append('<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>' % (
            colour, " ".join("%.1f,%.1f" % (x_of[c], y_of(y)) for c, y in points)))
        out.append(text(WIDTH - RIGHT + 16, TOP + 10 + 18 * i, name, "start",
                        ' fill="%s"' % colour))
    return "\n".join(out + ["</svg>", ""])


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    path, column, trace = (sys.argv + [""])[1:4]
    lines, capacities = {}, []
    with open(path, newline="") as rows:
        for row in csv.DictReader(rows):
            if trace not in row["trace"] or not row.get(column):
                continue
            unit = UNITS.get(column.rsplit("_", 1)[-1], (1, ""))
            name = ", ".join(filter(None, [row["placement"], row["eviction"]]))
            lines.setdefault(name, []).append((row["capacity"], float(row[column]) / unit[0]))
            if row["capacity"] not in capacities:
                capacities.append(row["capacity"])
    if not lines:
        sys.exit("%s: no row has a figure '%s' for this trace" % (path, column))
    label = "%s%s by capacity" % (column, " in " + unit[1] if unit[1] else "")
    sys.stdout.write(draw(lines, capacities, label))


if __name__ == "__main__":
    main()
