"""The Python that configure.py was given, as Bazel's Python toolchain."""

load("//third_party:installed.bzl", "installed")

_BUILD = """
load("@rules_python//python:defs.bzl", "py_runtime", "py_runtime_pair")

py_runtime(
    name = "runtime",
    interpreter_path = "{python}",
    python_version = "PY3",
)

py_runtime_pair(
    name = "runtime_pair",
    py3_runtime = ":runtime",
)

toolchain(
    name = "toolchain",
    toolchain = ":runtime_pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
"""

def _impl(repository_ctx):
    python = installed(repository_ctx)["python.path"]
    repository_ctx.file("BUILD", _BUILD.format(python = python))

    # For genrules: a py_binary as their tool would start by `env python`.
    repository_ctx.file("defs.bzl", "PYTHON = %r\n" % python)

python_configure = repository_rule(implementation = _impl)
