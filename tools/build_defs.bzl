"""Libraries and tests of this project: one place for what they share."""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")

def twostep_library(name, **kwargs):
    """A library whose headers are included as twostep/<folder>/<header>."""
    cc_library(
        name = name,
        include_prefix = "twostep/" + native.package_name(),
        strip_include_prefix = "/" + native.package_name(),
        **kwargs
    )

def twostep_test(name, srcs = None, deps = [], **kwargs):
    """A GoogleTest in <name>.cc."""
    cc_test(
        name = name,
        srcs = srcs or [name + ".cc"],
        deps = deps + ["@com_google_googletest//:gtest_main"],
        **kwargs
    )
