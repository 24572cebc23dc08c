#!/usr/bin/env python3
"""Checks that CMake builds what Bazel builds, and that versions agree.

Compares the library's and the command's sources, the headers and the Abseil
libraries of both builds (Bazel's by `bazel cquery`, CMake's by its file API, by
what it installs and the pkg-config file), and holds what names a version to
machine/version.h.
Prints what differs; exits 1 if anything does.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# All that Bazel has for others to build on, and the command.
LIBRARY = ("attr(testonly, 0, kind(cc_library, //...))"
           " - kind(cc_library, //cli/... + //examples/... + //tests/..."
           "                    + //tools/...)")
COMMAND = "deps(//cli:twostep) intersect kind('cc_.*', //cli/...)"


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def cquery(expression):
    """Labels, by the default configuration: without what --config=fibers adds."""
    lines = run("bazel", "cquery", "--noshow_progress", "--color=no",
                "--ui_event_filters=-info", expression).splitlines()
    return {line.split(" ")[0] for line in lines}


def bazel_files(targets, attributes):
    labels = set()
    for attribute in attributes:
        labels |= cquery(f"labels({attribute}, {targets})")
    return {label[2:].replace(":", "/") for label in labels
            if label.startswith("//")}


def bazel_absl():
    """As pkg-config names them: aliases lead to //:absl_status and the like."""
    deps = cquery(f"labels(deps, {LIBRARY})")
    text = run("bazel", "query", "--noshow_progress", "--output=build",
               " + ".join(sorted(d for d in deps
                                 if d.startswith("@com_google_absl//"))))
    return set(re.findall(r'actual = "@com_google_absl//:(absl_\w+)"', text))


def cmake(folder):
    """Sources by target, headers as installed, and what twostep.pc requires."""
    api = folder / ".cmake/api/v1"
    (api / "query").mkdir(parents=True)
    (api / "query/codemodel-v2").touch()
    run("cmake", "-S", str(ROOT), "-B", str(folder), "--log-level=WARNING")
    run("cmake", "--install", str(folder), "--component", "headers",
        "--prefix", str(folder / "installed"))
    include = folder / "installed/include/twostep"
    files = {"headers": {str(path.relative_to(include))
                         for path in include.rglob("*.h")}}
    for path in (api / "reply").glob("target-*.json"):
        target = json.loads(path.read_text())
        # What is generated has the same name in both, each in its own folder.
        files[target["name"]] = {
            source["path"].removeprefix(f"{folder}/generated/")
            for source in target.get("sources", [])
            if not source["path"].endswith(".rule")}
    requires = re.search(r"^Requires: (.*)$",
                         (folder / "twostep.pc").read_text(), re.M)[1]
    return files, set(requires.split(", "))


def versions():
    """Where one is named: what it must be, by machine/version.h."""
    version = re.search(r'kVersion\[\] = "(.*)"',
                        (ROOT / "machine/version.h").read_text())[1]
    wanted = {
        "debian/changelog": rf"\Atwostep \({re.escape(version)}\) ",
        "CHANGELOG.md": rf"\A# Changelog\n\n## {re.escape(version)}\b",
        "MODULE.bazel": rf'^    version = "{re.escape(version)}",$',
    }
    return [f"{name}: not of version {version}"
            for name, pattern in wanted.items()
            if not re.search(pattern, (ROOT / name).read_text(), re.M)]


def modules():
    """MODULE.bazel, which Debian's Bazel does not read, names what there is."""
    defined = (ROOT / "third_party/system/repositories.bzl").read_text()
    defined = defined[defined.index("def library_repositories"):]
    used = (ROOT / "MODULE.bazel").read_text()
    used = used[used.index("use_repo("):]
    return [f"MODULE.bazel: {name}: not in both it and repositories.bzl"
            for name in set(re.findall(r'\(name = "(\w+)"', defined))
            ^ set(re.findall(r'^    "(\w+)",$', used, re.M))]


def main():
    with tempfile.TemporaryDirectory() as folder:
        files, requires = cmake(pathlib.Path(folder))
    library = bazel_files(LIBRARY, ["srcs", "hdrs"])
    is_header = lambda name: name.endswith(".h")
    compared = {
        "headers": (set(filter(is_header, library)),
                    files["headers"]),
        "sources of the library": (
            {name for name in library if not is_header(name)},
            files["twostep_objects"]),
        "sources of the command": (
            {name for name in bazel_files(COMMAND, ["srcs"])
             if not is_header(name)},
            files["twostep_command"]),
        "Abseil's libraries": (bazel_absl(), requires),
    }
    wrong = versions() + modules()
    for what, (bazel, cmakes) in compared.items():
        if not bazel:
            wrong.append(f"{what}: Bazel has none")
        wrong += [f"{what}: {name}: Bazel only" for name in sorted(bazel - cmakes)]
        wrong += [f"{what}: {name}: CMake only" for name in sorted(cmakes - bazel)]
    print("\n".join(wrong) or "Bazel and CMake build the same: " + ", ".join(
        f"{len(both[0])} {what}" for what, both in compared.items()))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
