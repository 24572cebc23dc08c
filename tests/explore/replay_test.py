#!/usr/bin/env python3
"""A schedule is replayed by another process than the one that found it.

Given the explorer's program. What is kept of a schedule is its script alone: each
process has its stack, heap and libraries elsewhere, and here its allocator and the
size of its environment differ as well.
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest

EXPLORE = os.path.abspath(sys.argv.pop(1))

# Bugs of each kind, and how their schedules end.
PLANTED = {
    "planted/lost_sync": "failed",
    "planted/lock_order": "deadlock",
    "planted/stolen_space": "failed",
    "planted/double_destroy": "failed",
    "planted/missed_wake_up": "deadlock",
    "planted/polled_order": "livelock",
}
# Where nothing goes wrong: what is compared is the trace. Bos by the hundred,
# whose addresses must decide nothing.
SCENARIOS = ("bo/big_against_big_3/vram", "bo/unplug/iova",
             "stress/everything-at-once/0", "stress/share-and-die/0",
             "stress/share-and-die/1", "stress/share-and-die/2")

# So that nothing lies where it did: what malloc leaves in memory, where it takes
# memory from, and where stacks begin.
ELSEWHERE = (
    {},
    {"MALLOC_PERTURB_": "165"},
    {"MALLOC_MMAP_THRESHOLD_": "4096", "PADDING": "x" * 5000},
    {"MALLOC_TOP_PAD_": "10000000", "PADDING": "x" * 77},
)


def explore(*arguments, environment=None):
    done = subprocess.run([EXPLORE, *arguments], text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, **(environment or {})})
    return done.returncode, done.stdout


def script_in(output):
    return output[output.rindex("twostep schedule 1"):]


def trace_in(output):
    return re.search(r"^trace (\w+)$", script_in(output), re.M)[1]


class Replay(unittest.TestCase):

    def replayed(self, script, environment):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(script)
            file.flush()
            return explore(f"--schedule={file.name}", environment=environment)

    def test_what_was_found_goes_wrong_in_the_same_way(self):
        for case, end in PLANTED.items():
            for strategy in ("random", "pct", "exhaustive"):
                code, found = explore(f"--case={case}",
                                      f"--strategy={strategy}", "--most=1000")
                self.assertEqual(code, 1, found)
                says = re.search(rf"^shrunk \({end}, .*\):\n", found, re.M)
                self.assertIsNotNone(says, found)
                for environment in ELSEWHERE:
                    code, again = self.replayed(script_in(found), environment)
                    self.assertEqual(code, 1, again)
                    self.assertIn(f"replayed ({end}, ", again)
                    self.assertEqual(trace_in(again), trace_in(found))

    def test_what_went_well_takes_the_same_steps(self):
        for case in SCENARIOS:
            for seed in (1, 2):
                code, ran = explore(f"--case={case}", "--one", f"--seed={seed}")
                self.assertEqual(code, 0, ran)
                for environment in ELSEWHERE:
                    code, again = self.replayed(script_in(ran), environment)
                    self.assertEqual(code, 0, f"{case} {seed}: {again[-300:]}")
                    self.assertEqual(trace_in(again), trace_in(ran))

    def test_another_schedule_is_said_to_be_one(self):
        code, ran = explore("--case=bo/unplug/iova", "--one", "--seed=1")
        self.assertEqual(code, 0, ran)
        script = script_in(ran)
        switches = re.findall(r"^at .*\n", script, re.M)
        code, again = self.replayed(script.replace(switches[0], "", 1), {})
        self.assertEqual(code, 2, again)
        self.assertIn("not the same schedule", again)


if __name__ == "__main__":
    unittest.main()
