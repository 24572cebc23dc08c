#!/usr/bin/env python3
"""`twostep bench`: every row runs, and the command says what came out."""
import json
import pathlib
import re
import subprocess
import tempfile
import unittest

import jsonschema

BENCH = ["tests/benchmark/twostep_bench", "bench"]
SCHEMA = json.loads(pathlib.Path("docs/schemas/bench.schema.json").read_text())
PAGE = pathlib.Path("docs/performance.md").read_text()


class Bench(unittest.TestCase):
    def run_bench(self, *arguments, code=0):
        ran = subprocess.run([*BENCH, *map(str, arguments)], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(ran.returncode, code, ran.stdout[-2000:] + ran.stderr)
        return ran.stdout if code == 0 else ran.stderr

    def result(self, *arguments):
        result = json.loads(self.run_bench(*arguments, "--json", "-"))
        jsonschema.Draft202012Validator(SCHEMA).validate(result)
        return result

    def listed(self, *globs):
        lines = self.run_bench("--list", *globs).splitlines()
        return [line.split()[0] for line in lines
                if line.startswith("  ") and line.split()[0] != "row"]

    def test_every_row_runs(self):
        result = self.result("--quick")
        self.assertEqual(result["failed"], [])
        self.assertEqual(result["skipped"], [])
        ran = {figure["figure"] for figure in result["figures"]}
        self.assertEqual(set(self.listed()), ran)

    def test_a_quick_run_shows_no_figures(self):
        shown = self.run_bench("--quick", "lru_touch/*")
        self.assertEqual([line.split() for line in shown.splitlines()],
                         [["lru_touch/1024", "works"], ["lru_touch/16384", "works"]])

    def test_the_page_has_the_list(self):
        block = re.search(r"\n\$ ./twostep bench --list\n(.*?)\.\.\.\n```", PAGE, re.S)
        self.assertIsNotNone(block)
        listed = self.run_bench("--list")
        self.assertEqual(block[1], listed[:listed.index("Beside nobody\n")])

    def test_a_list_names_chosen_rows_with_their_peers_and_goals(self):
        self.assertEqual(self.listed("lru_touch/*"),
                         ["lru_touch/1024", "lru_touch/16384"])
        lines = self.run_bench("--list", "lru_touch/1024").splitlines()
        self.assertEqual(lines[-1].split(),
                         ["lru_touch/1024", "ns", "11", "5", "TTM", "6.12"])

    def test_a_name_of_no_row_brings_up_the_nearest(self):
        for glob in ["create_destory", "create_destory*"]:
            said = self.run_bench(glob, "lru_touch/1024", code=2)
            self.assertIn(f"no row is called '{glob}'; near to it: create_destroy",
                          said)

    def test_figures_stand_beside_peer_goal_and_baseline(self):
        first = self.result("floor/spin_lock", "lru_touch/1024",
                            "--repetitions", 3, "--iterations", 2000)
        figures = {figure["figure"]: figure for figure in first["figures"]}
        self.assertEqual(set(figures), {"floor/spin_lock", "lru_touch/1024"})
        self.assertNotIn("ratio", figures["floor/spin_lock"])
        touch = figures["lru_touch/1024"]
        self.assertEqual(len(touch["values"]), 3)
        self.assertEqual(touch["values"], sorted(touch["values"]))
        self.assertEqual(touch["median"], touch["values"][1])
        self.assertEqual(touch["best"], touch["values"][0])
        self.assertEqual(touch["peer"], "TTM 6.12")
        self.assertAlmostEqual(touch["ratio"], touch["median"] / touch["peer_median"])
        self.assertEqual(touch["reached"], touch["median"] <= touch["goal"])
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(first, file)
            file.flush()
            second = self.result("lru_touch/1024", "--iterations", 2000,
                                 "--baseline", file.name)
        self.assertEqual(second["figures"][0]["baseline"], touch["median"])

    def test_more_is_better_where_the_table_says_so(self):
        figure, = self.result("floor/memcpy_64kib_cached", "--iterations", 10,
                              "--repetitions", 2)["figures"]
        self.assertEqual(figure["better"], "more")
        self.assertEqual(figure["best"], figure["values"][-1])

    def test_a_baseline_that_is_none_is_an_error(self):
        for file, said in [("/does/not/exist", "cannot read"),
                           ("docs/performance.md", "is not what")]:
            self.assertIn(said, self.run_bench("--baseline", file, "lru_touch/1024",
                                               code=2))


if __name__ == "__main__":
    unittest.main(verbosity=2)
