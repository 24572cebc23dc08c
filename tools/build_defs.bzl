"""Libraries and tests of this project: one place for what they share."""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")
load(
    "//tools/precompiled:precompiled.bzl",
    "precompiled_copts",
    "precompiled_deps",
)

# Tests are compiled for longer than they run: what takes their time is in
# libraries.
TEST_COPTS = ["-O0", "-U_FORTIFY_SOURCE"]

def twostep_library(name, deps = [], **kwargs):
    """A library whose headers are included as twostep/<folder>/<header>."""
    cc_library(
        name = name,
        copts = precompiled_copts("library"),
        include_prefix = "twostep/" + native.package_name(),
        strip_include_prefix = "/" + native.package_name(),
        deps = deps + precompiled_deps("library"),
        **kwargs
    )

def twostep_test(name, srcs = None, deps = [], **kwargs):
    """A GoogleTest in <name>.cc."""
    cc_test(
        name = name,
        srcs = srcs or [name + ".cc"],
        copts = TEST_COPTS + precompiled_copts("test"),
        deps = deps + ["@com_google_googletest//:gtest_main"] + precompiled_deps("test"),
        **kwargs
    )
