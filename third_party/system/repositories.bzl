"""Wraps the distribution's C++ packages under the labels upstream uses.

  @com_google_absl//absl/...             libabsl-dev        (pkg-config files)
  @com_google_googletest//:gtest[_main]  libgtest-dev, libgmock-dev
  @com_google_benchmark//:benchmark      libbenchmark-dev
  @boost//:intrusive                     libboost-dev
  @tomlplusplus//:tomlplusplus           libtomlplusplus-dev
  @nlohmann_json//:json                  nlohmann-json3-dev
  @cli11//:cli11                         libcli11-dev
  @zstd//:zstd                           libzstd-dev
  @boost_context//:context               libboost-context-dev

Headers are found in /usr/include, which the C++ toolchain already lists as a
built-in include directory.  Libraries are symlinked into the repository, so
Bazel sees their contents and relinks after a package upgrade.
"""

_LIBDIRS = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
]

# Upstream package -> {upstream target: CMake/pkg-config name without "absl_"}.
_ABSL = {
    "absl/algorithm": {"algorithm": "algorithm", "container": "algorithm_container"},
    "absl/base": {
        "base": "base",
        "config": "config",
        "core_headers": "core_headers",
        "dynamic_annotations": "dynamic_annotations",
        "log_severity": "log_severity",
        "prefetch": "prefetch",
    },
    "absl/cleanup": {"cleanup": "cleanup"},
    "absl/container": {
        "btree": "btree",
        "fixed_array": "fixed_array",
        "flat_hash_map": "flat_hash_map",
        "flat_hash_set": "flat_hash_set",
        "inlined_vector": "inlined_vector",
        "node_hash_map": "node_hash_map",
        "node_hash_set": "node_hash_set",
    },
    "absl/debugging": {
        "failure_signal_handler": "failure_signal_handler",
        "leak_check": "leak_check",
        "stacktrace": "stacktrace",
        "symbolize": "symbolize",
    },
    "absl/flags": {
        "commandlineflag": "flags_commandlineflag",
        "config": "flags_config",
        "flag": "flags",
        "marshalling": "flags_marshalling",
        "parse": "flags_parse",
        "reflection": "flags_reflection",
        "usage": "flags_usage",
    },
    "absl/functional": {
        "any_invocable": "any_invocable",
        "bind_front": "bind_front",
        "function_ref": "function_ref",
    },
    "absl/hash": {"hash": "hash"},
    "absl/memory": {"memory": "memory"},
    "absl/meta": {"type_traits": "meta"},
    "absl/numeric": {"bits": "bits", "int128": "int128"},
    "absl/random": {
        "bit_gen_ref": "random_bit_gen_ref",
        "distributions": "random_distributions",
        "random": "random_random",
        "seed_gen_exception": "random_seed_gen_exception",
        "seed_sequences": "random_seed_sequences",
    },
    "absl/status": {"status": "status", "statusor": "statusor"},
    "absl/strings": {"cord": "cord", "str_format": "str_format", "strings": "strings"},
    "absl/synchronization": {"synchronization": "synchronization"},
    "absl/time": {"time": "time"},
    "absl/types": {
        "any": "any",
        "compare": "compare",
        "optional": "optional",
        "span": "span",
        "variant": "variant",
    },
    "absl/utility": {"utility": "utility"},
}

_PUBLIC = "package(default_visibility = [\"//visibility:public\"])\n\n"

def _libdir(ctx, probe, deb):
    for d in _LIBDIRS:
        if ctx.path(d + "/" + probe).exists:
            return d
    fail("%s not found; install the Debian package %s" % (probe, deb))

def _cc_library(name, srcs = [], deps = [], linkopts = []):
    return "cc_library(\n    name = %r,\n    srcs = %r,\n    linkopts = %r,\n    deps = %r,\n)\n\n" % (
        name,
        srcs,
        linkopts,
        deps,
    )

def _library(ctx, libdir, stem):
    """Symlinks lib<stem>.a (or .so) here; returns srcs."""
    for ext in [".a", ".so"]:
        name = "lib%s%s" % (stem, ext)
        if ctx.path(libdir + "/" + name).exists:
            ctx.symlink(libdir + "/" + name, "lib/" + name)
            return ["lib/" + name]
    fail("lib%s.{a,so} not found in %s" % (stem, libdir))

def _absl_impl(ctx):
    libdir = _libdir(ctx, "pkgconfig/absl_base.pc", "libabsl-dev")

    # One cc_library per .pc file, so that Bazel orders the archives.
    root = _PUBLIC
    for pc in ctx.path(libdir + "/pkgconfig").readdir():
        if not pc.basename.startswith("absl_") or not pc.basename.endswith(".pc"):
            continue
        name = pc.basename[:-len(".pc")]
        deps, srcs, linkopts = [], [], []
        for line in ctx.read(pc).splitlines():
            if line.startswith("Requires:"):
                deps = [r.strip().split(" ")[0] for r in line[len("Requires:"):].split(",") if r.strip()]
            elif line.startswith("Libs:"):
                for word in line.split(" "):
                    if word.startswith("-labsl_"):
                        srcs += _library(ctx, libdir, word[2:])
                    elif word == "-lrt":
                        linkopts.append(word)
        if srcs:
            linkopts = ["-pthread"] + linkopts
        root += _cc_library(name, srcs, [":" + d for d in deps], linkopts)
    ctx.file("BUILD.bazel", root, executable = False)
    for pkg, targets in _ABSL.items():
        text = _PUBLIC
        for target, pc_name in targets.items():
            text += "alias(name = %r, actual = \"//:absl_%s\")\n" % (target, pc_name)
        ctx.file(pkg + "/BUILD.bazel", text, executable = False)
    ctx.file("WORKSPACE", "workspace(name = %r)\n" % ctx.name, executable = False)

def _googletest_impl(ctx):
    libdir = _libdir(ctx, "libgtest.a", "libgtest-dev")
    _libdir(ctx, "libgmock.a", "libgmock-dev")
    ctx.file(
        "BUILD.bazel",
        _PUBLIC +
        # Upstream: gtest also carries gmock, gtest_main is gmock_main.
        _cc_library("gtest", _library(ctx, libdir, "gmock"), [":gtest_core"], ["-pthread"]) +
        _cc_library("gtest_core", _library(ctx, libdir, "gtest"), [], ["-pthread"]) +
        _cc_library("gtest_main", _library(ctx, libdir, "gmock_main"), [":gtest"]),
        executable = False,
    )
    ctx.file("WORKSPACE", "workspace(name = %r)\n" % ctx.name, executable = False)

def _benchmark_impl(ctx):
    libdir = _libdir(ctx, "libbenchmark_main.a", "libbenchmark-dev")
    ctx.file(
        "BUILD.bazel",
        _PUBLIC +
        # Debian ships libbenchmark as a shared library only.
        _cc_library("benchmark", [], [], ["-lbenchmark", "-pthread"]) +
        _cc_library("benchmark_main", _library(ctx, libdir, "benchmark_main"), [":benchmark"]),
        executable = False,
    )
    ctx.file("WORKSPACE", "workspace(name = %r)\n" % ctx.name, executable = False)

system_absl = repository_rule(implementation = _absl_impl, local = True)
system_googletest = repository_rule(implementation = _googletest_impl, local = True)
system_benchmark = repository_rule(implementation = _benchmark_impl, local = True)

# @bazel_tools//tools/cpp and //tools/jdk load these, and the built-in defaults
# for both are http_archives.  The rules themselves are native in Bazel 4.
_NATIVE_RULES = {
    "rules_cc": ("cc", [
        "cc_binary",
        "cc_import",
        "cc_library",
        "cc_proto_library",
        "cc_test",
        "cc_toolchain",
        "cc_toolchain_suite",
        "objc_library",
    ]),
    "rules_java": ("java", [
        "java_binary",
        "java_import",
        "java_library",
        "java_runtime",
        "java_test",
        "java_toolchain",
    ]),
}

def _native_rules_impl(ctx):
    pkg, rules = _NATIVE_RULES[ctx.name]
    ctx.file(pkg + "/BUILD.bazel", "", executable = False)
    ctx.file(pkg + "/defs.bzl", "".join(["%s = native.%s\n" % (r, r) for r in rules]), executable = False)
    ctx.file("WORKSPACE", "workspace(name = %r)\n" % ctx.name, executable = False)

native_rules = repository_rule(implementation = _native_rules_impl)

def _coverage_tools_impl(ctx):
    ctx.symlink(Label("//third_party/system:coverage_output_generator.py"), "generator.py")
    ctx.file("BUILD.bazel", _PUBLIC + "".join([
        "sh_binary(name = %r, srcs = [\"generator.py\"])\n" % name
        for name in ["coverage_report_generator", "lcov_merger"]
    ]), executable = False)
    ctx.file("WORKSPACE", "workspace(name = %r)\n" % ctx.name, executable = False)

# Every cc_test depends on this repository, covered or not.
coverage_tools = repository_rule(implementation = _coverage_tools_impl)

def _header_only_impl(ctx):
    for header in ctx.attr.headers:
        if not ctx.path("/usr/include/" + header).exists:
            fail("/usr/include/%s not found; install the Debian package %s" % (header, ctx.attr.deb))
    ctx.file("BUILD.bazel", _PUBLIC + _cc_library(ctx.attr.target), executable = False)
    ctx.file("WORKSPACE", "workspace(name = %r)\n" % ctx.name, executable = False)

header_only = repository_rule(
    implementation = _header_only_impl,
    local = True,
    attrs = {
        "deb": attr.string(mandatory = True),
        "headers": attr.string_list(mandatory = True),
        "target": attr.string(mandatory = True),
    },
)

def _zstd_impl(ctx):
    libdir = _libdir(ctx, "libzstd.a", "libzstd-dev")
    ctx.file("BUILD.bazel", _PUBLIC + _cc_library("zstd", _library(ctx, libdir, "zstd")), executable = False)
    ctx.file("WORKSPACE", "workspace(name = %r)\n" % ctx.name, executable = False)

system_zstd = repository_rule(implementation = _zstd_impl, local = True)

def _boost_context_impl(ctx):
    libdir = _libdir(ctx, "libboost_context.a", "libboost-context-dev")
    ctx.file("BUILD.bazel", _PUBLIC + _cc_library("context", _library(ctx, libdir, "boost_context")), executable = False)
    ctx.file("WORKSPACE", "workspace(name = %r)\n" % ctx.name, executable = False)

system_boost_context = repository_rule(implementation = _boost_context_impl, local = True)

def system_repositories():
    """Defines every external repository this project needs."""
    for name in _NATIVE_RULES:
        native_rules(name = name)
    coverage_tools(name = "remote_coverage_tools")
    library_repositories()

def library_repositories():
    """Those of libraries, for MODULE.bazel too."""
    system_absl(name = "com_google_absl")
    system_googletest(name = "com_google_googletest")
    system_benchmark(name = "com_google_benchmark")
    header_only(name = "boost", target = "intrusive", headers = ["boost/intrusive/list.hpp", "boost/smart_ptr/intrusive_ptr.hpp"], deb = "libboost-dev")
    header_only(name = "tomlplusplus", target = "tomlplusplus", headers = ["toml++/toml.h"], deb = "libtomlplusplus-dev")
    header_only(name = "nlohmann_json", target = "json", headers = ["nlohmann/json.hpp"], deb = "nlohmann-json3-dev")
    header_only(name = "cli11", target = "cli11", headers = ["CLI/CLI.hpp"], deb = "libcli11-dev")
    system_zstd(name = "zstd")
    system_boost_context(name = "boost_context")
