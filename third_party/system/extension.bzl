"""The repositories as a module extension: of MODULE.bazel, untested as it is."""

load("//third_party/system:repositories.bzl", "library_repositories")

def _system_impl(_ctx):
    library_repositories()

system = module_extension(implementation = _system_impl)
