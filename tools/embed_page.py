#!/usr/bin/env python3
"""Makes the C++ source of a page that needs no other file.

tools/embed_page.py OUT.cc PAGE.html FILE...

Where the page says `@include NAME` on a line of its own, the FILE of that name
goes in; at `@data` it is cut in two: kReportHead and kReportTail of
cli/report_page.h.
"""
import pathlib
import re
import sys

LINE = 2000


def include(page, files):
    """The page with everything in it; each file must be asked for once."""
    left = dict(files)

    def replace(match):
        text = left.pop(match[1])
        if re.search(r"</script|<!--", text, re.I):
            sys.exit(f"{match[1]}: would end the element that it goes into")
        return text

    page = re.sub(r"^@include (\S+)\n", replace, page, flags=re.M)
    if left:
        sys.exit(f"not in the page: {', '.join(left)}")
    return page


def literal(text):
    """Neighbouring string literals: ASCII, whatever is in the text."""
    # No ??= either: a trigraph, to some compilers.
    escapes = {ord("\""): "\\\"", ord("\\"): "\\\\", ord("\n"): "\\n",
               ord("?"): "\\?"}
    data = text.encode()
    lines = []
    for at in range(0, len(data), LINE):
        lines.append('    "' + "".join(
            escapes.get(byte) or (chr(byte) if 32 <= byte < 127
                                  else f"\\{byte:03o}")
            for byte in data[at:at + LINE]) + '"')
    return "\n".join(lines)


def main():
    out, page, *names = sys.argv[1:]
    files = {pathlib.Path(name).name: pathlib.Path(name).read_text("utf-8")
             for name in names}
    text = include(pathlib.Path(page).read_text("utf-8"), files)
    head, tail = text.split("@data\n")
    source = ['#include "twostep/cli/report_page.h"', "namespace twostep {"]
    for name, part in (("kReportHead", head), ("kReportTail", tail)):
        source.append(f"const char {name}[] =\n{literal(part)};")
    source.append("}  // namespace twostep\n")
    pathlib.Path(out).write_text("\n".join(source), "utf-8")


if __name__ == "__main__":
    main()
