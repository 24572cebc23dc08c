"""Headers of others, parsed once for all sources that include them: a third of
what compiling takes."""

load("@rules_cc//cc:defs.bzl", "cc_library")

_WANTED = "//tools/precompiled:wanted"

def precompiled_copts(name):
    return select({
        _WANTED: [
            "-Winvalid-pch",
            # What is precompiled is no system header to gcc's optimiser, whose
            # false alarms in Abseil are shown then.
            "-Wno-array-bounds",
            "-include",
            "$(GENDIR)/tools/precompiled/include/%s.h" % name,
        ],
        "//conditions:default": [],
    })

def precompiled_deps(name):
    return select({
        _WANTED: ["//tools/precompiled:" + name],
        "//conditions:default": [],
    })

def precompiled_header(name, header, copts = [], deps = []):
    """`header` for who has precompiled_copts(name) and precompiled_deps(name).

    The compiler takes what is precompiled only where its flags are the same. So
    it comes from a compile action like any other, that of a library with this
    one "object", and is taken out of the archive again.
    """
    native.genrule(
        name = name + "_header",
        srcs = [header],
        outs = [
            name + ".cc",
            "include/" + header,
        ],
        cmd = "for out in $(OUTS); do cp $< $$out; done",
    )
    cc_library(
        name = name + "_archive",
        srcs = [name + ".cc"],
        copts = copts + ["-x", "c++-header"],
        deps = deps,
    )
    native.genrule(
        name = name + "_precompiled",
        srcs = [name + "_archive"],
        outs = ["include/%s.gch" % header],
        # Of the archives the first is what binaries are linked from.
        cmd = "set -- $(SRCS) && $(AR) p $$1 > $@",
        toolchains = ["@bazel_tools//tools/cpp:current_cc_toolchain"],
    )
    cc_library(
        name = name,
        textual_hdrs = [
            "include/" + header,
            "include/%s.gch" % header,
        ],
    )
