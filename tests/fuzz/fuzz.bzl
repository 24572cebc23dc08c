"""A function that must hold for any bytes: fuzzed, and tested with its corpus."""

load("//tools:build_defs.bzl", "twostep_test")

def fuzz_target(name, deps, fuzzer_srcs = []):
    """LLVMFuzzerTestOneInput in <name>_target.cc.

    <name>_test runs it over every file in corpus/<name>/, with any compiler;
    <name>_fuzz, with --config=fuzz, looks for more.

    Args:
      name: of the target and its corpus.
      deps: of the target.
      fuzzer_srcs: what only the fuzzer needs: a mutator.
    """
    native.cc_library(
        name = name + "_target",
        testonly = True,
        srcs = [name + "_target.cc"],
        deps = deps + ["@com_google_googletest//:gtest"],
        alwayslink = True,
    )
    twostep_test(
        name = name + "_test",
        srcs = ["corpus_test.cc"],
        data = native.glob(["corpus/" + name + "/**"]),
        local_defines = ['TWOSTEP_CORPUS=\\"tests/fuzz/corpus/' + name + '\\"'],
        deps = [name + "_target"],
    )
    native.cc_binary(
        name = name + "_fuzz",
        testonly = True,
        srcs = ["fuzzer.cc"] + fuzzer_srcs,
        linkopts = ["-fsanitize=fuzzer"],
        # Only clang has it.
        tags = ["manual"],
        deps = deps + [
            name + "_target",
            "@com_google_googletest//:gtest",
        ],
    )
