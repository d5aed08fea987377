"""The installed apache-tvm-ffi, as a C++ library, and TVM's runtime headers where they are."""

load("//third_party:installed.bzl", "installed", "link")

_BUILD = """
load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])

cc_library(
    name = "tvm_ffi",
    hdrs = ["include"],
    includes = ["include"],
    linkopts = [
        "-L{lib}",
        "-ltvm_ffi",
    ],
)

# Where it is found when a program runs: on this machine.
cc_library(
    name = "rpath",
    linkopts = ["-Wl,-rpath,{lib}"],
)
"""

_TVM_BUILD = """
cc_library(
    name = "tvm_headers",
    hdrs = ["tvm_include"],
    includes = ["tvm_include"],
    deps = [":tvm_ffi"],
)
"""

def _impl(repository_ctx):
    facts = installed(repository_ctx)
    link(repository_ctx, facts["tvm_ffi.include"], "include")
    build = _BUILD.format(lib = facts["tvm_ffi.lib"])
    if "tvm.include" in facts:
        link(repository_ctx, facts["tvm.include"], "tvm_include")
        build += _TVM_BUILD
    repository_ctx.file("BUILD", build)

tvm_ffi_configure = repository_rule(implementation = _impl)
