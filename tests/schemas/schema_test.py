#!/usr/bin/env python3
"""All JSON that the command writes, and machine files, held against docs/schemas.

Runs are small and chosen so that every kind of line and row is among them. Long
files are checked by shape: one value of each set of keys, types and words.
"""
import copy
import json
import os
import pathlib
import random
import re
import subprocess
import tempfile
import tomllib
import unittest

import jsonschema

SCHEMAS = pathlib.Path("docs/schemas")
TRACES = ["examples/traces/glmark2.botrace", "examples/traces/neverball.botrace.zst"]
MACHINES = sorted(pathlib.Path("examples/machines").glob("*.toml"))
# What the description of a number begins with.
UNITS = {"Bytes", "Bytes or count", "Count", "Microseconds", "MiB/s",
         "Nanoseconds, virtual", "Number", "Numbers", "Pages", "Per second",
         "Ratio", "Seconds", "Size", "areas", "bits", "bytes", "ns", "ranges",
         "segments"}
# Where all is short: frames, IOVAs, coherent memory, CMA, and VRAM by --vram.
TIGHT = """
name = "tight"
[memory]
dma32 = "3 MiB"
normal = 0
coherent = "512 KiB"
cma = "512 KiB"
[iommu]
mode = "translated"
iova_size = "1 MiB"
[swiotlb]
size = 0
[gpu]
coherent = false
"""
# More in one bo than a VRAM of 1 MiB holds.
FAILS = "#botrace 1\nc 1 8388608 v\ng 0 1\n"
# Their values are part of a shape; other texts are all alike.
WORDS = {"error", "event", "limit", "mode", "ph", "status"}


def load(name):
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text())


ALL = {path.name: json.loads(path.read_text()) for path in SCHEMAS.iterdir()}


def validator(name):
    # They name one another by file.
    schema = load(name)
    store = {f"file:///schemas/{other}": text for other, text in ALL.items()}
    resolver = jsonschema.RefResolver("file:///schemas/", schema, store=store)
    return jsonschema.Draft202012Validator(schema, resolver=resolver)


def shape(value, key=""):
    if isinstance(value, dict):
        return tuple((k, shape(v, k)) for k, v in value.items())
    if isinstance(value, list):
        return tuple(sorted({repr(shape(v)) for v in value}))
    return value if key in WORDS else type(value).__name__


def one_of_each(values):
    return list({shape(value): value for value in values}.values())


def subschemas(schema, path=""):
    """Every schema in it, with where it stands."""
    if isinstance(schema, list):
        for i, part in enumerate(schema):
            yield from subschemas(part, f"{path}/{i}")
    elif isinstance(schema, dict):
        yield path, schema
        for key, part in schema.items():
            if key not in ("default", "const", "enum", "required"):
                yield from subschemas(part, f"{path}/{key}")


def a_trace(seed, bos=48, records=400):
    """A program whose bos do not fit, of all kinds of records."""
    chance = random.Random(seed)
    lines = ["#botrace 1"]
    lines += [f"c {bo} {4096 * chance.choice([1, 16, 32])} {'tvi'[bo % 3]}"
              for bo in range(bos)]
    for at in range(records):
        some = chance.sample(range(bos), 3)
        lines.append(chance.choice([
            f"w {some[0]} 0 4096", f"r {some[1]} 0 4096",
            f"g {at % 3} {some[0]} {some[1]}* {some[2]}", "f"]))
    return "\n".join(lines + [f"d {bo}" for bo in range(bos)]) + "\n"


def event_words(schema):
    """The events that a schema's lines may be of."""
    event = schema.get("properties", {}).get("event", {})
    return event.get("enum", [event["const"]] if "const" in event else [])


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_twostep(self, *arguments, code=0):
        ran = subprocess.run(["cli/twostep", *map(str, arguments)], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(ran.returncode, code, ran.stdout)
        return ran.stdout

    def file(self, name, text=""):
        path = self.folder / name
        path.write_text(text)
        return path

    def written(self, path):
        return json.loads(path.read_text())

    def holds(self, name, values):
        """That all of them are valid, and that none of them says a thing more
        or less: an unknown key anywhere, or a required one gone, is an error."""
        check = validator(name)
        for value in values:
            error = jsonschema.exceptions.best_match(check.iter_errors(value))
            if error is not None:
                self.fail(f"{name}: {error.json_path}: {error.message}\n"
                          f"{json.dumps(value)[:2000]}")
        for value in values:
            self.assertTrue(check.is_valid(value))
            for path in objects(value):
                more = copy.deepcopy(value)
                at(more, path)["surplus"] = 1
                free = any(key in ("dma_binds", "dma_evictions", "gpu_evictions")
                           for key in path[-1:])
                self.assertEqual(check.is_valid(more), free, (name, path))


def objects(value, path=()):
    """The paths of all objects in a value; of a list, those of its first."""
    if isinstance(value, dict):
        yield path
        for key, part in value.items():
            yield from objects(part, (*path, key))
    elif isinstance(value, list) and value:
        yield from objects(value[0], (*path, 0))


def at(value, path):
    for key in path:
        value = value[key]
    return value


class Schemas(Case):
    def test_each_is_one_and_says_everything(self):
        self.assertEqual(len(ALL), 8)
        for name, schema in ALL.items():
            jsonschema.Draft202012Validator.check_schema(schema)
            self.assertTrue(schema["title"] and schema["description"], name)
            for path, part in subschemas(schema):
                if part.get("type") == "object":
                    self.assertIn("additionalProperties", part, f"{name} {path}")
                for key, field in part.get("properties", {}).items():
                    where = f"{name} {path}: {key}"
                    self.assertIn("description", field, where)
                    numbers = {"integer", "number"} & {*flat(field.get("type"))}
                    if numbers:
                        unit = field["description"].split(": ", 1)[0]
                        self.assertIn(unit, UNITS, where)

    def test_every_key_is_explained_in_its_guide(self):
        for name, page in [("replay", "replay"), ("compare", "policies"),
                           ("stress", "stress"), ("recorded-run", "events"),
                           ("report", "reports"), ("bench", "performance")]:
            text = pathlib.Path(f"docs/{page}.md").read_text()
            named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", text))))
            keys = {key for _, part in subschemas(load(name))
                    for key in part.get("properties", {})}
            # A run's first line, and its figures, are explained with a replay.
            keys -= {"twostep_run"} | set(load("replay")["$defs"]["figures"]["properties"])
            self.assertEqual(keys - named, set(), page)


def flat(kind):
    return kind if isinstance(kind, list) else [kind]


class Outputs(Case):
    def test_replay(self):
        json_file = self.file("r.json")
        trace = self.file("t.botrace", a_trace(1))
        runs = [[trace], ["--unbacked", TRACES[1]], ["--unbacked", trace, trace]]
        runs += [["--unbacked", "--machine", machine, "--dma-type", kind, trace]
                 for machine, kind in zip(MACHINES, ["dynamic", "none"] * 6)]
        results = []
        for run in runs:
            self.run_twostep("replay", "--quiet", "--json", json_file, *run)
            results.append(self.written(json_file))
        self.assertIsInstance(results[2], list)
        broken = copy.deepcopy(results[0])
        broken["violations"] = [{"rule": "R1", "what": "a bo stands nowhere"}]
        fails = self.file("f.botrace", FAILS)
        for run in [[fails], [trace, fails]]:
            self.run_twostep("replay", "--quiet", "--json", json_file, "--vram",
                             "1 MiB", "--placement", "vram", *run, code=2)
            results.append(self.written(json_file))
        self.assertIn("error", results[-2])
        self.assertIn("error", results[-1][1])
        self.holds("replay", results + [broken])

    def test_compare_and_merge(self):
        json_file = self.file("c.json")
        trace = self.file("t.botrace", a_trace(2))
        results = []
        for arguments, code in [
                (["--capacity", "50%"], 0),
                (["--capacity", "4 KiB", "--placement", "vram"], 3),
                (["--cache-only", "--policies", "lru"], 0)]:
            self.run_twostep("compare", "--quiet", "--json", json_file, trace,
                             *arguments, code=code)
            results.append(self.written(json_file))
        shards = [self.file(f"{i}.json") for i in range(3)]
        for i, shard in enumerate(shards):
            self.run_twostep("compare", "--quiet", "--json", shard, trace,
                             "--policies", "lru", "--shard", f"{i}/3")
            results.append(self.written(shard))
        results.append(json.loads(self.run_twostep("merge", "--json", "-", *shards)))
        self.assertEqual(results[-1]["shards"], 1)
        rows = [row for result in results for row in result["rows"]]
        self.assertEqual({row["status"] for row in rows}, {"ok", "error"})
        self.holds("compare", [{**result, "rows": one_of_each(result["rows"])}
                               for result in results])

    def test_stress(self):
        json_file = self.file("s.json")
        self.run_twostep("stress", "--seeds", 2, "--json", json_file,
                         "twostep/dma-*-exhaust", "twostep/only-busy")
        result = self.written(json_file)
        self.assertEqual(len(result["rows"]), 5)
        wrong = copy.deepcopy(result)
        wrong["rows"][0] |= {
            "clean": False, "first_failure": "a leak", "repeat": "./twostep stress",
            "violations": [{"rule": "R1", "what": "a bo stands nowhere"}]}
        self.holds("stress", [result, wrong])

    def test_reports(self):
        page = self.file("page.html")
        trace = self.file("t.botrace", a_trace(3))
        tight = self.file("tight.toml", TIGHT)
        small = ["--unbacked", "--machine", tight, "--vram", "1 MiB"]
        shard = self.file("shard.json")
        self.run_twostep("compare", "--quiet", "--json", shard, trace,
                         "--policies", "lru", "--capacity", "50%")
        held = []
        for arguments in [
                ["replay", "--quiet", *small, trace, trace],
                ["compare", "--quiet", "--capacity", "50%", trace],
                ["compare", "--quiet", "--cache-only", "--policies", "lru", trace],
                ["merge", shard],
                ["stress", "dma-iova-exhaust", "hot-unplug", "flink-storm",
                 "two-drivers-one-iommu", "--seeds", 2],
                ["stress", "everything-at-once", "--faults", "frame:every/20"]]:
            self.run_twostep(*arguments, "--report", page)
            held.append(self.data_of(page))
        kinds = ["replay", "compare", "compare", "compare", "stress", "stress"]
        self.assertEqual([data["kind"] for data in held], kinds)
        # holds() looks into the first of each list.
        histories = [run["history"] for data in held
                     for key in ("runs", "histories") for run in data.get(key, [])]
        for rows in [[one["evictions"]["rows"] for one in histories],
                     [one["stalls"]["rows"] for one in histories],
                     [one["spaces"] for one in histories],
                     [one["timeline"]["series"] for one in histories]]:
            self.assertTrue(any(rows))
        self.assertEqual({one["clock"] for one in histories}, {"virtual", "real"})
        self.holds("report", held)
        self.holds("report", [{**held[4], "histories": [one]}
                              for one in held[4]["histories"]])
        fails = self.file("f.botrace", FAILS)
        self.run_twostep("replay", "--quiet", "--vram", "1 MiB", "--placement",
                         "vram", "--report", page, fails, code=2)
        self.holds("report", [self.data_of(page)])

    def data_of(self, page):
        return json.loads(re.search(
            r'id="data">\n(.*?)</script', page.read_text(), re.S)[1])

    def recorded(self, *arguments, code=0):
        run = self.file("run.jsonl")
        self.run_twostep("replay", "--quiet", "--unbacked", "--record", run,
                         *arguments, code=code)
        return [json.loads(line) for line in run.read_text().splitlines()]

    def test_recorded_runs(self):
        lines = self.recorded(TRACES[0])
        tight = self.file("tight.toml", TIGHT)
        for seed, kind in enumerate(["dynamic", "coherent", "cma"]):
            trace = self.file("t.botrace", a_trace(seed))
            for placement in ["vram-tt", "tt"]:
                lines += self.recorded("--machine", tight, "--vram", "1 MiB", trace,
                                       "--dma-type", kind, "--placement", placement)
        fails = self.file("f.botrace", FAILS)
        lines += self.recorded("--vram", "1 MiB", "--placement", "vram", fails, code=2)
        seen = {line.get("event", "head") for line in lines}
        known = {word for _, part in subschemas(load("recorded-run"))
                 for word in event_words(part)} | {"head"}
        # No trace says that contents may be dropped.
        self.assertEqual(known ^ seen, {"drop"})
        self.assertTrue(any("limit" in line for line in lines))
        self.holds("recorded-run", one_of_each(lines))

    def test_perfetto(self):
        file = self.file("p.json")
        tight = self.file("tight.toml", TIGHT)
        trace = self.file("t.botrace", a_trace(5))
        self.run_twostep("replay", "--quiet", "--unbacked", "--perfetto", file,
                         "--machine", tight, "--vram", "1 MiB", trace, trace)
        result = self.written(file)
        events = result["traceEvents"]
        self.assertEqual({event["ph"] for event in events}, {"M", "X", "i", "C"})
        self.assertTrue(any("flow_in" in event for event in events))
        self.holds("perfetto", [{**result, "traceEvents": [event]}
                                for event in one_of_each(events)])

    def test_perfetto_of_stress(self):
        file = self.file("s.json")
        self.run_twostep("stress", "evict-small", "--perfetto", file)
        result = self.written(file)
        self.holds("perfetto", [{**result, "traceEvents": [event]}
                                for event in one_of_each(result["traceEvents"])])


class MachineFiles(Case):
    def agree(self, text, good):
        check = validator("machine-file")
        valid = check.is_valid(tomllib.loads(text))
        self.assertEqual(valid, good, text)
        ran = subprocess.run(
            ["cli/twostep", "replay", "--quiet", "--unbacked", "--machine",
             self.file("m.toml", text), self.file("e.botrace", "#botrace 1\n")],
            text=True, capture_output=True)
        self.assertEqual(ran.returncode, 0 if good else 2, text + ran.stderr)

    def test_the_examples_hold(self):
        self.assertEqual(len(MACHINES), 12)
        for machine in MACHINES:
            self.agree(machine.read_text(), True)

    def test_schema_and_command_refuse_the_same(self):
        self.agree("[memory]\n[gpu]\n", True)
        self.agree("[memory]\n", False)
        self.agree("[memory]\n[gpu]\n[surplus]\n", False)
        self.agree("name = ''\n[memory]\n[gpu]\n", False)
        for table, part in load("machine-file")["properties"].items():
            for key, field in part.get("properties", {}).items():
                whole = field.get("oneOf", [field])[-1]
                bad = ["[]", "-4096", "1.5", "'no such word'"]
                if "maximum" in whole:
                    bad.append(str(whole["maximum"] + whole.get("multipleOf", 1)))
                if "multipleOf" in whole:
                    bad += ["4097", "'4 kB'", "'4 MiB '"]
                if field.get("type") == "string":
                    bad = ["[]", "''", "7", f"'{'n' * 65}'"]
                others = "".join(f"[{other}]\n" for other in {"memory", "gpu"} - {table})
                for value in bad:
                    self.agree(f"{others}[{table}]\n{key} = {value}\n", False)
                self.agree(f"{others}[{table}]\n{key}s = 0\n", False)


if __name__ == "__main__":
    unittest.main()
