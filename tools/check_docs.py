#!/usr/bin/env python3
"""Runs what the pages show: their commands and code, by fenced block.

  tools/check_docs.py [PAGE...]     all pages of the tree by default

sh       run as a script that stops at the first error, in a scratch folder which
         looks like a checkout; a page's blocks share it
console  each command after a `$ ` is run, and what it prints compared
cpp      compiled: programs by themselves, all else after the headers that their
         comments name and tests/docs/given.h
toml     read as a machine file
json     parsed, a line at a time
text     left alone

A comment above a block says what is not as it seems, a line each:

  <!-- check
  before SHELL            run beforehand: files that the reader has
  without PREFIX: REASON  lines of the block that begin so are not run
  none: REASON            nor is any of it
  varies WORD             output: of lines that begin so, no more is compared
  given DECLARATION;      cpp: what the reader has, besides tests/docs/given.h
  outside                 cpp: stands in no function; the page's next blocks see it
  -->

In output, a line `...` stands for any lines.  Also checks that relative links
lead to a file, and to a heading of it.  Prints what is wrong, by page and line;
exits 1 if anything is.
"""
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMPILER = ["g++", "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
            "-Wno-missing-field-initializers", "-Wno-unused"]
# Of one block. The longest takes half a minute on two cores.
TIME_LIMIT_S = 300


class Block:
    def __init__(self, page, line, language, text, marks):
        self.page, self.line, self.language = page, line, language
        self.text, self.marks = text, marks

    def marked(self, key):
        return [rest for word, rest in self.marks if word == key]

    @property
    def where(self):
        return f"{self.page}:{self.line}"


def marks_of(comment):
    marks = []
    for line in comment.strip().splitlines():
        word, _, rest = line.strip().partition(" ")
        marks.append((word.rstrip(":"), rest))
    return marks


def blocks_of(page, text):
    """Its fenced blocks, each with the marks of the comment above it."""
    found, marks, lines = [], [], text.splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        if line == "<!-- check":
            end = lines.index("-->", at)
            marks = marks_of("\n".join(lines[at + 1:end]))
            at = end
        elif line.startswith("```"):
            end = lines.index("```", at + 1)
            body = "\n".join(lines[at + 1:end]) + "\n"
            found.append(Block(page, at + 2, line[3:].strip(), body, marks))
            marks = []
            at = end
        at += 1
    return found


# --- commands ---

def scratch(folder):
    """A folder that looks like a checkout, to write into; bazel runs in the
    real one."""
    for path in ROOT.iterdir():
        if path.name != ".git" and not path.name.startswith("bazel-"):
            (folder / path.name).symlink_to(path)
    (folder / ".bin").mkdir()
    bazel = folder / ".bin/bazel"
    bazel.write_text(f"#!/bin/sh\ncd {shlex.quote(str(ROOT))} && exec "
                     f"{shlex.quote(str(find('bazel')))} \"$@\"\n")
    bazel.chmod(0o755)
    return folder


def find(program):
    for folder in os.environ["PATH"].split(":"):
        if os.access(pathlib.Path(folder) / program, os.X_OK):
            return pathlib.Path(folder) / program
    return program


def shell(script, folder):
    """(exit code, what it printed)."""
    path = f"{folder}/.bin:{os.environ['PATH']}"
    try:
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=folder, text=True,
            env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        return 124, f"not done after {TIME_LIMIT_S} s"
    return ran.returncode, ran.stdout


def before(block, folder):
    for command in block.marked("before"):
        code, output = shell(command, folder)
        if code:
            return [f"{block.where}: before: {command}: {output}"]
    return []


def logical(text):
    """The lines of a script, those that end in a backslash joined."""
    return re.sub(r"\\\n", "\\\n", text).replace("\\\n", "\0").splitlines()


def left_out(block, line):
    """Whether a mark excuses it. The program must be there all the same."""
    for mark in block.marked("without"):
        prefix, _, reason = mark.partition(": ")
        if line.startswith(prefix) and reason:
            return True
    return False


def run_script(block, folder):
    wrong = before(block, folder)
    kept = []
    for line in logical(block.text):
        if left_out(block, line):
            program = next(word for word in line.split()
                           if word not in ("bash", "sh"))
            if "/" in program and not program.startswith(".bazel/") \
                    and not (ROOT / program).exists():
                wrong.append(f"{block.where}: there is no {program}")
            line = ""
        kept.append(line.replace("\0", "\\\n"))
    # So that an error is told with its line.
    script = "trap 'echo \"line $LINENO: $BASH_COMMAND\"' ERR\n" + "\n".join(kept)
    code, output = shell(script, folder)
    if code:
        wrong.append(f"{block.where}: exit code {code}\n{output[-2000:]}")
    return wrong


def same(shown, printed, varies):
    """Whether the lines printed are those shown."""
    if not shown:
        return not printed
    if shown[0].strip() == "...":
        return any(same(shown[1:], printed[at:], varies)
                   for at in range(len(printed) + 1))
    if not printed:
        return False
    word = next((w for w in varies if shown[0].startswith(w)), None)
    alike = printed[0].startswith(word) if word else \
        shown[0].rstrip() == printed[0].rstrip()
    return alike and same(shown[1:], printed[1:], varies)


def run_console(block, folder):
    wrong = before(block, folder)
    command, shown = None, []
    # One more, to end the last.
    for line in logical(block.text) + ["$ "]:
        if not line.startswith("$ "):
            shown.append(line)
            continue
        if command is not None:
            code, output = shell(command.replace("\0", "\\\n"), folder)
            printed = output.splitlines()
            if code or not same(shown, printed, block.marked("varies")):
                wrong.append(f"{block.where}: $ {command}: exit code {code}, "
                             f"and this is what it prints:\n{output[:4000]}")
        command, shown = line[2:], []
    return wrong


# --- code ---

def headers(blocks):
    """Those that fragments name in a comment, as `// twostep/bo/host.h`."""
    named = {header for block in blocks
             for line in block.text.splitlines() if line.startswith("// twostep/")
             for header in re.findall(r"twostep/[\w/]+\.h", line)}
    lines = [f'#include "{header}"' for header in sorted(named)]
    return "\n".join([*lines, '#include "tests/docs/given.h"\n'])


def fragment(block, number):
    """As part of a namespace of the page: in a function, unless it is marked."""
    declared = " ".join(f"extern {one.strip()};"
                        for text in block.marked("given")
                        for one in text.split(";") if one.strip())
    here = f'#line {block.line} "{block.page}"\n{block.text}'
    if block.marked("outside"):
        return f"{declared}\n{here}"
    return (f"namespace block_{number} {{ {declared}\n"
            f"inline absl::Status Block() {{\n{here}"
            f"return absl::OkStatus(); }} }}\n")


def compile_code(blocks, folder):
    programs = [block for block in blocks if "int main(" in block.text]
    sources = {f"program_{i}.cc": f'#line {b.line} "{b.page}"\n{b.text}'
               for i, b in enumerate(programs)}
    fragments = headers(block for block in blocks if block not in programs)
    pages = dict.fromkeys(block.page for block in blocks)
    for i, page in enumerate(pages):
        fragments += f"namespace page_{i} {{\n"
        for j, block in enumerate(blocks):
            if block.page == page and block not in programs:
                fragments += fragment(block, j)
        fragments += "}\n"
    sources["fragments.cc"] = fragments
    (folder / "include").mkdir()
    (folder / "include/twostep").symlink_to(ROOT)
    wrong = []
    for name, text in sources.items():
        (folder / name).write_text(text)
        ran = subprocess.run(
            [*COMPILER, f"-I{folder}/include", f"-I{ROOT}", name], cwd=folder,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if ran.returncode:
            wrong.append(ran.stdout[:6000])
    return wrong


# --- data ---

def read_toml(block, folder):
    (folder / "block.toml").write_text(block.text)
    (folder / "empty.botrace").write_text("#botrace 1\n")
    code, output = shell("./twostep replay --quiet --unbacked --machine block.toml "
                         "empty.botrace", folder)
    return [f"{block.where}: {output}"] if code else []


def read_json(block, _):
    for line in block.text.splitlines():
        try:
            json.loads(line)
        except ValueError as error:
            return [f"{block.where}: {error}"]
    return []


CHECKS = {"sh": run_script, "console": run_console, "toml": read_toml,
          "json": read_json, "text": lambda block, folder: []}


# --- links ---

def anchors(text):
    """As GitHub and mkdocs make them of headings."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", text, flags=re.M)}


def check_links(page, text):
    wrong = []
    prose = re.sub(r"^```.*?^```", lambda m: "\n" * m[0].count("\n"), text,
                   flags=re.M | re.S)
    for match in re.finditer(r"\]\(([^)\s]+)\)", prose):
        target, _, anchor = match[1].partition("#")
        if "://" in target:
            continue
        line = prose.count("\n", 0, match.start()) + 1
        path = (ROOT / page).parent / target if target else ROOT / page
        if not path.exists():
            wrong.append(f"{page}:{line}: link to {target}, which is not there")
        elif anchor and anchor not in anchors(path.read_text()):
            wrong.append(f"{page}:{line}: link to {match[1]}: no such heading")
    return wrong


def pages_of_the_tree():
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True,
                            text=True, stdout=subprocess.PIPE).stdout
    return listed.split()


def main():
    code, wrong, counts = [], [], {}
    # So that no page is told of a build.
    for built in (["--version"], ["bench", "--list"]):
        subprocess.run([ROOT / "twostep", *built], check=True,
                       stdout=subprocess.DEVNULL)
    for page in sys.argv[1:] or pages_of_the_tree():
        text = (ROOT / page).read_text()
        wrong += check_links(page, text)
        with tempfile.TemporaryDirectory() as folder:
            place = scratch(pathlib.Path(folder))
            for block in blocks_of(page, text):
                if block.marked("none"):
                    continue
                counts[block.language] = counts.get(block.language, 0) + 1
                start = time.monotonic()
                if block.language == "cpp":
                    code.append(block)
                elif block.language in CHECKS:
                    wrong += CHECKS[block.language](block, place)
                else:
                    wrong.append(f"{block.where}: a block of '{block.language}', "
                                 "which nothing checks; say why")
                took = time.monotonic() - start
                if took > 1:
                    print(f"{took:6.1f} s  {block.where}", flush=True)
    if code:
        with tempfile.TemporaryDirectory() as folder:
            wrong += compile_code(code, pathlib.Path(folder))
    print("\n".join(wrong) if wrong else
          ", ".join(f"{count} {language}" for language, count in sorted(counts.items())))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
