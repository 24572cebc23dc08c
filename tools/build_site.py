#!/usr/bin/env python3
"""Builds the pages, the reference of all public headers and the schemas as a site.

  tools/build_site.py [FOLDER]    into FOLDER/html, by default build/site/html

The reference is what the headers say: their comments, and their declarations
without what is private; headers that are private to the library stand apart.
Needs mkdocs-material. Fails on what mkdocs warns of, on a page that the navigation leaves out, on a link that leads nowhere (a page, a
heading, a file), and on a header of which a class has no comment.
"""
import html.parser
import json
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What is installed: see CMakeLists.txt.
FOLDERS = ["machine", "placement", "dma_types", "mem_types", "eviction", "bo",
           "trace", "lab", "stress"]
# In the comment that a header begins with: it is installed since others include
# it, and changes at any time.
PRIVATE = "Private to the library."
TYPE = re.compile(r"^(?:template <.*> )?(?:class|struct|union|enum(?: class)?) "
                  r"(?:[A-Z_]+(?:\(.*?\))? )*(\w+)[^;(]*?\{")


# --- headers ---

def words(comment):
    """A comment as Markdown: what is set in is code."""
    lines = []
    for line in comment:
        text = line.removeprefix("//").removeprefix(" ")
        if text.startswith("  "):
            if lines and lines[-1] and not lines[-1].startswith("    "):
                lines.append("")
            lines.append("    " + text.removeprefix("  "))
        else:
            if lines and lines[-1].startswith("    ") and text:
                lines.append("")
            lines.append(re.sub(r"([<>*_\[\]&])", r"\\\1", text).replace("\\&", "&amp;")
                         .replace("\\<", "&lt;"))
    return "\n".join(lines)


def public(lines):
    """A declaration without its private parts and, of a function, its body."""
    text = "\n".join(lines)
    if not TYPE.match(" ".join(lines)):
        if "{" in text and "(" in text.split("{")[0] and "=" not in text.split("(")[0]:
            return text.split("{")[0].rstrip() + ";"
        return text
    kept, hidden = [], False
    for line in lines:
        section = re.match(r" (public|protected|private):", line)
        if section:
            hidden = section[1] == "private"
        if not hidden or line.startswith("}"):
            kept.append(line)
    while len(kept) > 1 and not kept[-2].strip():
        del kept[-2]
    return "\n".join(kept)


def declarations(lines):
    """(comment, declaration) of all that stands in a namespace."""
    comment, current, depth = [], [], 0
    for line in lines:
        bare = re.sub(r'"(?:\\.|[^"\\])*"', '""', line.split("//")[0])
        if not current:
            if line.startswith("//"):
                comment.append(line)
                continue
            if not line.strip() or line.startswith(("#", "namespace", "}")):
                comment = []
                continue
        current.append(line)
        depth += sum(bare.count(c) for c in "{([") - sum(bare.count(c) for c in "})]")
        if depth == 0 and bare.rstrip().endswith((";", "}")):
            yield comment, current
            comment, current = [], []


def header_page(path):
    """Its page, whether it is private to the library, and which of its classes
    have no comment."""
    # Macros that go on are no declarations.
    text = re.sub(r"^#.*(?:\\\n.*)+", "#", (ROOT / path).read_text(), flags=re.M)
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("#include")
                 or line.startswith("namespace"))
    leading = [line for line in lines[:first] if line.startswith("//")]
    page = [f"# {path}", "", f'`#include "twostep/{path}"`', "", words(leading), ""]
    bare, others = [], []
    for comment, declaration in declarations(lines[first:]):
        kind = TYPE.match(" ".join(declaration))
        if kind is None:
            others += comment + [public(declaration), ""]
            continue
        if not comment and not leading:
            bare.append(f"{path}: {kind[1]} has no comment")
        page += [f"## {kind[1]}", "", words(comment), "", "```cpp",
                 public(declaration), "```", ""]
    if others:
        page += ["## Functions, constants, names", "", "```cpp", *others[:-1], "```", ""]
    private = PRIVATE in " ".join(line.removeprefix("// ") for line in leading)
    return "\n".join(page), private, bare


def reference(source):
    """Writes a page a header; (entries of the navigation, what is wrong)."""
    nav, inside, wrong = [], [], []
    for folder in FOLDERS:
        entries = []
        for header in sorted((ROOT / folder).glob("*.h")):
            path = str(header.relative_to(ROOT))
            if "fiber" in header.name:
                continue
            page, private, bare = header_page(path)
            target = source / "reference" / f"{path}.md"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(page)
            if private:
                inside.append({path: f"reference/{path}.md"})
            else:
                entries.append({header.name: f"reference/{path}.md"})
            wrong += bare
        nav.append({f"{folder}/": entries})
    return [*nav, {"Inside the library": inside}], wrong


# --- schemas ---

def kind_of(field):
    if "$ref" in field:
        return field["$ref"].rsplit("/", 1)[-1]
    if "enum" in field:
        return ", ".join(f"`{json.dumps(word)}`" for word in field["enum"])
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "oneOf" in field:
        return " or ".join(dict.fromkeys(kind_of(one) for one in field["oneOf"]))
    kind = field.get("type", "")
    return " or ".join(kind) if isinstance(kind, list) else kind


def rows(schema, prefix=""):
    for key, field in schema.get("properties", {}).items():
        left_out = "" if key in schema.get("required", ()) else ", may be left out"
        text = field.get("description", "").replace("|", "\\|")
        yield f"| `{prefix}{key}` | {kind_of(field)}{left_out} | {text} |"
        yield from rows(field, f"{prefix}{key}.")


def schema_page(schema, name):
    page = [f"# {schema['title']}", "", schema["description"], "",
            f"The schema: [{name}](../../docs/schemas/{name})."]
    parts = [("", schema), *schema.get("$defs", {}).items()]
    for title, part in parts:
        table = list(rows(part))
        if not table:
            continue
        page += ["", f"## {title}" if title else "## Keys", ""]
        page += [part["description"], ""] if title else []
        page += ["| key | value | meaning |", "| --- | --- | --- |", *table]
    return "\n".join(page) + "\n"


def schemas(source):
    entries = []
    for path in sorted((ROOT / "docs/schemas").glob("*.json")):
        name = path.name.removesuffix(".schema.json")
        target = source / "reference/schemas" / f"{name}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(schema_page(json.loads(path.read_text()), path.name))
        entries.append({name: f"reference/schemas/{name}.md"})
    return entries


# --- the site ---

def copy_pages(source):
    """As they stand in the tree, with what they link to, so that links hold."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md", "LICENSE", "docs/", "examples/"], cwd=ROOT,
        check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()
    for name in set(listed) - {"docs/mkdocs.yml", "docs/BUILD.bazel"}:
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".md":
            target.write_text(without_tree(ROOT / name, listed))
        else:
            shutil.copyfile(ROOT / name, target)


def without_tree(page, listed):
    """Its text; what links to folders and sources, which the site lacks, links
    no more."""
    def keep(match):
        path = (page.parent / match[2].split("#")[0]).resolve()
        outside = path.exists() and path != page.parent and \
            str(path.relative_to(ROOT)) not in listed
        return match[1] if outside else match[0]
    return re.sub(r"\[([^\]]+)\]\((?!\w+:)([^)\s#][^)\s]*)\)", keep, page.read_text())


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.fences = set(), set(), "```" in text
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for key, value in attrs:
            if key in ("id", "name") and value:
                self.ids.add(value)
            if key in ("href", "src") and value:
                self.links.add(value)


def broken_links(folder):
    pages = {path: Page(path.read_text()) for path in folder.rglob("*.html")
             if path.name != "404.html"}
    for path, page in sorted(pages.items()):
        where = path.relative_to(folder)
        if page.fences:
            yield f"{where}: a fence that was not read as one"
        for link in sorted(page.links):
            url = urllib.parse.urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(url.path)).resolve() \
                if url.path else path
            if not target.exists():
                yield f"{where}: {link} is not there"
            elif target in pages and url.fragment and \
                    urllib.parse.unquote(url.fragment) not in pages[target].ids:
                yield f"{where}: {link}: no such heading"


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/site")
    folder = folder.resolve()
    for part in ("source", "html"):
        shutil.rmtree(folder / part, ignore_errors=True)
    (folder / "source").mkdir(parents=True)
    copy_pages(folder / "source")
    nav, wrong = reference(folder / "source")
    nav.append({"JSON and machine files": schemas(folder / "source")})
    # JSON is YAML; the navigation is what the configuration ends with.
    config = (ROOT / "docs/mkdocs.yml").read_text()
    (folder / "mkdocs.yml").write_text(f"{config}  - {json.dumps({'Reference': nav})}\n")
    wrong += [f"docs/mkdocs.yml: {page.name} is not in it"
              for page in sorted((ROOT / "docs").glob("*.md"))
              if f"docs/{page.name}\n" not in config]
    built = subprocess.run(["mkdocs", "build", "--strict", "--quiet", "--config-file",
                            str(folder / "mkdocs.yml")], cwd=folder)
    if built.returncode:
        wrong.append("mkdocs: see above")
    wrong += broken_links(folder / "html")
    print("\n".join(wrong) if wrong else f"{folder}/html/index.html")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
