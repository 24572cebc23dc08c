#!/usr/bin/env python3
"""Plants small bugs in the library, one at a time, and says which the tests catch.

    tests/mutation/mutate.py                  # all of mutations.toml: hours
    tests/mutation/mutate.py --near           # the nearest tests only
    tests/mutation/mutate.py --only bo/swap-out-keeps-mappings
    tests/mutation/mutate.py --continue       # what an earlier run left over
    tests/mutation/mutate.py --list
    tests/mutation/mutate.py --check          # do all still apply? Seconds

Works on a clone of HEAD in a scratch folder; the tree that it is called from is
only read. First all tests that will be asked must pass there without a bug. Then
one bug is planted after the other: the tests nearest to it are built and run, and
all of //tests/... if those pass, but with --near. A bug is caught by a test that
fails, crashes or takes longer than --timeout.

What came out is in a JSON file as it goes: {"commit": "...", "results": {ID:
{"outcome": ..., "asked": "near" or "all", "by": ..., "case": ..., "seconds": ...,
"digest": ...}}}. The last line is 'N caught, N survived'; one that does not build
has survived. Exit code 0 if at least 95 % are caught, 1 if fewer are or --check
finds something, 2 if it could not begin. docs/mutations.md has more.
"""
import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import tomllib

# Not resolved: as a test it is a link among copies of the sources.
ROOT = pathlib.Path(__file__).absolute().parent.parent.parent
LIST = ROOT / "tests/mutation/mutations.toml"
FOLDERS = ("machine", "bo", "eviction", "dma_types", "mem_types", "placement",
           "trace", "lab")
LEAST_BUGS = 66
LEAST_CAUGHT = 0.95
# Without the one that says that the list no longer applies.
ALL_TESTS = ["//tests/...", "-//tests/mutation/..."]
# Bazel's: tests were built, and some failed.
TESTS_FAILED = 3
BUILD_FAILED = 1


@dataclasses.dataclass
class Mutation:
    """A bug: `old` occurs once in `file`, and `new` there `breaks` something."""
    id: str
    file: str
    breaks: str
    near: list
    old: str
    new: str

    def digest(self):
        return hashlib.sha256(
            "\0".join([self.file, self.old, self.new]).encode()).hexdigest()[:16]

    def problem(self, tree):
        """Why it cannot be planted in the sources under `tree`, or None."""
        if self.file.split("/")[0] not in FOLDERS:
            return f"{self.file} is in none of {', '.join(FOLDERS)}"
        path = tree / self.file
        if not path.is_file():
            return f"there is no {self.file}"
        times = path.read_text().count(self.old)
        if times != 1:
            return f"its old text occurs {times} times in {self.file}, not once"
        if self.old == self.new or not self.breaks or not self.near:
            return "it changes nothing, breaks nothing or names no test"
        return None


def read_list():
    with open(LIST, "rb") as file:
        return [Mutation(**entry) for entry in tomllib.load(file)["mutation"]]


def problems_of(mutations, tree):
    """A line each; none: all can be planted."""
    lines = []
    seen = set()
    for mutation in mutations:
        problem = mutation.problem(tree)
        if mutation.id in seen:
            problem = "its ID is another's as well"
        seen.add(mutation.id)
        if problem:
            lines.append(f"{mutation.id}: {problem}")
    return lines


class Results:
    """Outcomes by ID, in a file that is whole at any time."""

    def __init__(self, path, commit, keep):
        self.path = path
        self.of = {}
        self.commit = commit
        self.keep = keep
        if path.exists():
            self.of = json.loads(path.read_text())["results"]

    def known(self, mutation, near_only):
        """Whether an earlier outcome is all that this run could find out."""
        result = self.of.get(mutation.id)
        if (not self.keep or result is None or
                result["digest"] != mutation.digest()):
            return False
        return (near_only or result["asked"] == "all" or
                result["outcome"] != "survived")

    def add(self, mutation, result):
        self.of[mutation.id] = dict(result, digest=mutation.digest())
        text = json.dumps({"commit": self.commit, "results": self.of}, indent=1)
        part = self.path.with_suffix(".part")
        part.write_text(text + "\n")
        part.replace(self.path)


class Workshop:
    """A clone of HEAD, and Bazel in it."""

    def __init__(self, scratch, jobs, timeout):
        self.tree = scratch / "tree"
        self.output = scratch / "bazel"
        self.jobs = jobs
        self.timeout = timeout

    def git(self, *arguments):
        subprocess.run(["git", "-C", self.tree, *arguments], check=True)

    def refresh(self):
        """Brings the clone to HEAD, without what was planted. Its commit."""
        if not self.tree.exists():
            subprocess.run(["git", "clone", "--quiet", "--shared",
                            "--no-checkout", ROOT, self.tree], check=True)
        self.git("fetch", "--quiet", ROOT, "HEAD")
        self.git("checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
        return subprocess.run(
            ["git", "-C", self.tree, "rev-parse", "HEAD"], check=True, text=True,
            stdout=subprocess.PIPE).stdout.strip()

    def test(self, targets):
        """Stops at the first that fails. Bazel's exit code and what it said."""
        command = ["bazel", f"--output_base={self.output}", "test",
                   f"--jobs={self.jobs}", "--build_tests_only",
                   "--notest_keep_going", f"--test_timeout={self.timeout}",
                   "--test_output=errors", "--noshow_progress", "--color=no",
                   "--", *targets]
        done = subprocess.run(command, cwd=self.tree, text=True,
                              errors="replace", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def ask(self, targets):
        """What those tests say of the tree as it is."""
        code, said = self.test(targets)
        if code == 0:
            return {"outcome": "survived"}
        if code == BUILD_FAILED:
            return {"outcome": "does not build", "said": said[-2000:]}
        if code != TESTS_FAILED:
            raise SystemExit(f"bazel ended with {code}:\n{said[-4000:]}")
        by = re.search(r"^(//\S+)\s+(FAILED|TIMEOUT)", said, re.M)
        case = re.search(r"^\[  FAILED  \] (\S+?),? ", said + " ", re.M)
        running = re.findall(r"^\[ RUN      \] (\S+)", said, re.M)
        return {"outcome": "caught", "by": by[1] if by else "a test",
                "case": (case[1] if case else
                         f"{running[-1]} (ends there)" if running else "")}

    def ask_about(self, mutation, near_only):
        path = self.tree / mutation.file
        sound = path.read_text()
        start = time.monotonic()
        try:
            path.write_text(sound.replace(mutation.old, mutation.new))
            result = dict(self.ask(mutation.near), asked="near")
            if result["outcome"] == "survived" and not near_only:
                result = dict(self.ask(ALL_TESTS), asked="all")
        finally:
            path.write_text(sound)
        return dict(result, seconds=round(time.monotonic() - start))


def describe(result):
    text = result["outcome"]
    if text == "caught":
        text += f" by {result['by']} {result['case']}"
    elif text == "survived" and result["asked"] == "near":
        text += " the nearest tests"
    return text


def options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--list", action="store_true", help="name all and stop")
    parser.add_argument("--check", action="store_true",
                        help="only see whether all apply to this tree")
    parser.add_argument("--near", action="store_true",
                        help="ask the nearest tests only")
    parser.add_argument("--only", action="append", metavar="ID",
                        help="this one, or all of a folder; may be repeated")
    parser.add_argument("--continue", action="store_true", dest="keep",
                        help="leave out what the results file knows")
    parser.add_argument("--results", type=pathlib.Path, metavar="FILE",
                        help="default: results.json in the scratch folder")
    parser.add_argument(
        "--scratch", type=pathlib.Path, metavar="DIR",
        default=pathlib.Path(tempfile.gettempdir()) / "twostep-mutation",
        help="for the clone and what is built of it, some GB; stays")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--timeout", type=int, default=300, metavar="S",
                        help="for one test (300)")
    return parser.parse_args()


def chosen(mutations, only):
    if not only:
        return mutations
    wanted = [m for m in mutations
              if any(m.id == name or m.id.startswith(name + "/")
                     for name in only)]
    unknown = [name for name in only
               if not any(m.id == name or m.id.startswith(name + "/")
                          for m in mutations)]
    if unknown:
        sys.exit(f"there is no mutation {', '.join(unknown)}; see --list")
    return wanted


def give_up(lines):
    print("\n".join(lines), file=sys.stderr)
    sys.exit(2)


def play(mutations, args):
    args.scratch.mkdir(parents=True, exist_ok=True)
    workshop = Workshop(args.scratch.resolve(), args.jobs, args.timeout)
    commit = workshop.refresh()
    problems = problems_of(mutations, workshop.tree)
    if problems:
        give_up(["at HEAD:"] + problems)
    path = args.results or args.scratch / "results.json"
    results = Results(path.resolve(), commit, args.keep)
    left = [m for m in mutations if not results.known(m, args.near)]
    print(f"{len(left)} of {len(mutations)} to do at {commit[:12]}, results in "
          f"{results.path}", flush=True)
    targets = sorted({target for m in left for target in m.near})
    if left:
        sound = workshop.ask(targets if args.near else ALL_TESTS)
        if sound["outcome"] != "survived":
            give_up([f"without any bug: {sound}"])
    for number, mutation in enumerate(left, 1):
        result = workshop.ask_about(mutation, args.near)
        results.add(mutation, result)
        print(f"[{number:3}/{len(left)}] {mutation.id}: {describe(result)} "
              f"({result['seconds']} s)", flush=True)
    return [(m, results.of[m.id]) for m in mutations]


def main():
    args = options()
    mutations = read_list()
    if args.check:
        problems = problems_of(mutations, ROOT)
        if len(mutations) < LEAST_BUGS:
            problems.append(f"{len(mutations)} bugs are fewer than {LEAST_BUGS}")
        print("\n".join(problems + [f"{len(mutations)} bugs"]))
        sys.exit(1 if problems else 0)
    mutations = chosen(mutations, args.only)
    if args.list:
        for mutation in mutations:
            print(f"{mutation.id:40} {mutation.breaks}")
        return
    outcomes = play(mutations, args)
    caught = sum(result["outcome"] == "caught" for _, result in outcomes)
    for mutation, result in outcomes:
        if result["outcome"] != "caught":
            print(f"{mutation.id}: {describe(result)}; {mutation.breaks}")
    print(f"{caught} caught, {len(outcomes) - caught} survived")
    sys.exit(0 if caught >= LEAST_CAUGHT * len(outcomes) else 1)


if __name__ == "__main__":
    main()
