"""An installed library as a cc_library, by what pkg-config says of it.

PKG_CONFIG_PATH is for those that are installed elsewhere than in /usr.
"""

def _ask(ctx, *arguments):
    run = ctx.execute(["pkg-config"] + list(arguments))
    if run.return_code != 0:
        fail(run.stderr)
    return run.stdout.strip()

def _pkg_config_impl(ctx):
    package = ctx.attr.package or ctx.name
    ctx.symlink(_ask(ctx, "--variable=includedir", package) + "/" + package, "include/" + package)
    linkopts = _ask(ctx, "--libs", package).split(" ")
    if ctx.attr.static:
        libs = _ask(ctx, "--libs", "--static", package).split(" ")
        linkopts = ["-Wl,-Bstatic"] + libs + ["-Wl,-Bdynamic"]
    ctx.file("WORKSPACE", "workspace(name = %r)\n" % ctx.name)
    ctx.file("BUILD.bazel", """cc_library(
    name = %r,
    hdrs = glob(["include/**/*.h"]),
    includes = ["include"],
    linkopts = %r,
    visibility = ["//visibility:public"],
)
""" % (ctx.name, linkopts))

pkg_config = repository_rule(
    implementation = _pkg_config_impl,
    local = True,
    environ = ["PKG_CONFIG_PATH"],
    attrs = {
        "package": attr.string(doc = "if not called as the repository"),
        "static": attr.bool(doc = "link static libraries"),
    },
)
