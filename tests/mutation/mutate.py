#!/usr/bin/env python3
"""Plants small bugs in the library, one at a time, and says which the tests catch.

    tests/mutation/mutate.py                  # all of mutations.toml: hours
    tests/mutation/mutate.py --near           # the nearest tests only
    tests/mutation/mutate.py --only bo/swap-out-keeps-mappings
    tests/mutation/mutate.py --continue       # what an earlier run left over
    tests/mutation/mutate.py --explorer       # those for schedules: half an hour
    tests/mutation/mutate.py --list
    tests/mutation/mutate.py --check          # do all still apply? Seconds

Works on a clone of HEAD in a scratch folder; the tree that it is called from is
only read. First all tests that will be asked must pass there without a bug. Then
one bug is planted after the other: the tests nearest to it are built and run, and
all of //tests/... if those pass, but with --near. A bug is caught by a test that
fails, crashes or takes longer than --timeout.

With --explorer it is the bugs of which only schedules tell: //tests/explore:explore
looks for each, under every strategy with several seeds. It is caught when all of
these searches find it within the schedules that the list states, and the scripts of
what they find, shrunk, replay to the same trace.

What came out is in a JSON file as it goes: {"commit": "...", "results": {ID:
{"outcome": ..., "asked": "near" or "all", "by": ..., "case": ..., "seconds": ...,
"digest": ...}}}; of the explorer {"outcome": ..., "searches": {...}}. The last line is 'N caught, N survived'; one that does not build
has survived. Exit code 0 if at least 95 % are caught, of the explorer's all, 1 if fewer are or --check
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


# How the explorer looks for each of its bugs.
STRATEGIES = ("pct", "random")
SEEDS = (1, 2, 3)
KINDS = ("lost sync", "lock order", "lost unlock", "stolen space",
         "double destroy", "missed wake-up")


@dataclasses.dataclass
class Bug:
    """`old` occurs once in `file`, and `new` there `breaks` something."""
    id: str
    file: str
    breaks: str
    old: str
    new: str

    def digest(self):
        return hashlib.sha256(
            "\0".join([self.file, self.old, self.new]).encode()).hexdigest()[:16]

    def is_complete(self):
        return self.old != self.new and bool(self.breaks)

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
        if not self.is_complete():
            return "it changes nothing, breaks nothing or names no test"
        return None


@dataclasses.dataclass
class Mutation(Bug):
    """One that the tests `near` should notice."""
    near: list

    def is_complete(self):
        return super().is_complete() and bool(self.near)


@dataclasses.dataclass
class Race(Bug):
    """One of a `kind` that the explorer should find in `case`, `within` so many
    schedules."""
    kind: str
    case: str
    within: int

    def is_complete(self):
        return (super().is_complete() and self.kind in KINDS and
                bool(self.case) and self.within > 0)


def read_list():
    """The bugs for the tests, and those for the explorer."""
    with open(LIST, "rb") as file:
        entries = tomllib.load(file)
    return ([Mutation(**entry) for entry in entries["mutation"]],
            [Race(**entry) for entry in entries["race"]])


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

    def bazel(self, command, targets, *options):
        """Bazel's exit code and what it said."""
        done = subprocess.run(
            ["bazel", f"--output_base={self.output}", command,
             f"--jobs={self.jobs}", "--noshow_progress", "--color=no",
             *options, "--", *targets],
            cwd=self.tree, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def ask_with(self, bug, ask):
        """What `ask` says of the tree with that bug, and for how long."""
        path = self.tree / bug.file
        sound = path.read_text()
        start = time.monotonic()
        try:
            path.write_text(sound.replace(bug.old, bug.new))
            result = ask(bug)
        finally:
            path.write_text(sound)
        return dict(result, seconds=round(time.monotonic() - start))


class Tests:
    """Asks the nearest tests, and then all."""

    def __init__(self, workshop, near_only):
        self.workshop = workshop
        self.near_only = near_only

    def ask_targets(self, targets):
        """What those tests say, up to the first that fails."""
        code, said = self.workshop.bazel(
            "test", targets, "--build_tests_only", "--notest_keep_going",
            f"--test_timeout={self.workshop.timeout}", "--test_output=errors")
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

    def ask_without_bug(self, mutations):
        targets = sorted({target for m in mutations for target in m.near})
        return self.ask_targets(targets if self.near_only else ALL_TESTS)

    def ask(self, mutation):
        result = dict(self.ask_targets(mutation.near), asked="near")
        if result["outcome"] == "survived" and not self.near_only:
            result = dict(self.ask_targets(ALL_TESTS), asked="all")
        return result


class Explorer:
    """Searches schedules of one case for each bug."""

    def __init__(self, workshop, scratch):
        self.workshop = workshop
        self.script = scratch / "script.txt"

    def build(self):
        """What Bazel says if it does not build, or None."""
        code, said = self.workshop.bazel(
            "build", ["//tests/explore:explore"], "--config=fibers")
        return None if code == 0 else said[-2000:]

    def run(self, *arguments):
        binary = self.workshop.tree / ".bazel/bin/tests/explore/explore"
        return subprocess.run([binary, *arguments], text=True, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def search(self, race, strategy, seed):
        """What one search comes to: nothing, or what it found and how soon."""
        done = self.run(f"--case={race.case}", f"--strategy={strategy}",
                        f"--seed={seed}", f"--most={race.within}")
        tried = re.search(r"^\S+ +(\d+) schedules", done.stdout, re.M)
        if done.returncode not in (0, 1) or tried is None:
            raise SystemExit(f"the explorer ended with {done.returncode}:\n"
                             f"{done.stdout[-4000:]}")
        found = {"schedules": int(tried[1])}
        if done.returncode == 0:
            return found
        shrunk = re.search(r"^shrunk \((\w+), (\d+) switches\)", done.stdout,
                           re.M)
        self.script.write_text(
            done.stdout[done.stdout.rindex("twostep schedule 1"):])
        again = self.run(f"--schedule={self.script}")
        same = again.returncode == 1 and f"replayed ({shrunk[1]}," in again.stdout
        return dict(found, end=shrunk[1], switches=int(shrunk[2]), replays=same)

    def ask(self, race):
        said = self.build()
        if said is not None:
            return {"outcome": "does not build", "said": said}
        searches = {f"{strategy} {seed}": self.search(race, strategy, seed)
                    for strategy in STRATEGIES for seed in SEEDS}
        caught = all(found.get("replays") for found in searches.values())
        return {"outcome": "caught" if caught else "survived",
                "asked": "explorer", "searches": searches}

    def ask_without_bug(self, races):
        said = self.build()
        if said is not None:
            return {"outcome": "does not build", "said": said}
        for race in races:
            for strategy in STRATEGIES:
                found = self.search(race, strategy, SEEDS[0])
                if "end" in found:
                    return {"outcome": "caught", "case": race.case, **found}
        return {"outcome": "survived"}


def describe(result):
    text = result["outcome"]
    if "searches" in result:
        text += ": " + ", ".join(
            f"{how} {found['schedules']} schedules" + (
                f" {found['end']} {found['switches']} switches"
                f"{'' if found['replays'] else ', does not replay'}"
                if "end" in found else " nothing")
            for how, found in result["searches"].items())
    elif text == "caught":
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
    parser.add_argument("--explorer", action="store_true",
                        help="the bugs for the explorer instead")
    parser.add_argument("--only", action="append", metavar="ID",
                        help="this one, or all of a folder; may be repeated")
    parser.add_argument("--continue", action="store_true", dest="keep",
                        help="leave out what the results file knows")
    parser.add_argument("--results", type=pathlib.Path, metavar="FILE",
                        help="default: results.json in the scratch folder,\n"
                             "or explored.json")
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
    path = args.results or args.scratch / (
        "explored.json" if args.explorer else "results.json")
    results = Results(path.resolve(), commit, args.keep)
    left = [m for m in mutations
            if not results.known(m, args.near or args.explorer)]
    print(f"{len(left)} of {len(mutations)} to do at {commit[:12]}, results in "
          f"{results.path}", flush=True)
    judge = (Explorer(workshop, args.scratch.resolve()) if args.explorer else
             Tests(workshop, args.near))
    if left:
        sound = judge.ask_without_bug(left)
        if sound["outcome"] != "survived":
            give_up([f"without any bug: {sound}"])
    for number, mutation in enumerate(left, 1):
        result = workshop.ask_with(mutation, judge.ask)
        results.add(mutation, result)
        print(f"[{number:3}/{len(left)}] {mutation.id}: {describe(result)} "
              f"({result['seconds']} s)", flush=True)
    return [(m, results.of[m.id]) for m in mutations]


def main():
    args = options()
    mutations, races = read_list()
    if args.check:
        problems = problems_of(mutations + races, ROOT)
        if len(mutations) < LEAST_BUGS:
            problems.append(f"{len(mutations)} bugs are fewer than {LEAST_BUGS}")
        problems += [f"no bug for the explorer is a {kind}"
                     for kind in KINDS if all(r.kind != kind for r in races)]
        print("\n".join(problems + [f"{len(mutations)} bugs, and {len(races)} "
                                    "for the explorer"]))
        sys.exit(1 if problems else 0)
    mutations = chosen(races if args.explorer else mutations, args.only)
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
    least = 1 if args.explorer else LEAST_CAUGHT
    sys.exit(0 if caught >= least * len(outcomes) else 1)


if __name__ == "__main__":
    main()
