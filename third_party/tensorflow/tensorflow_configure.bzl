"""The installed TensorFlow, as a C++ library to build ops against."""

load("//third_party:installed.bzl", "installed", "link")

_BUILD = """
load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])

# The include folder is one input, not 11,000: a sandbox with a link for each of them
# takes longer than the compiler. `includes` makes these system headers, which keeps
# TensorFlow's own warnings quiet.
cc_library(
    name = "headers",
    hdrs = ["include"],
    defines = {defines},
    includes = ["include"],
)

cc_library(
    name = "tensorflow",
    linkopts = [
        "-L{lib}",
        "-l:libtensorflow_framework.so.2",
    ],
    deps = [":headers"],
)

# Where it is found when a program runs: on this machine.
cc_library(
    name = "rpath",
    linkopts = ["-Wl,-rpath,{lib}"],
)

# What an XLA kernel, or a C++ program that runs graphs, needs on top.
cc_library(
    name = "tensorflow_cc",
    includes = [
        "include/external/farmhash_archive/src",
        "include/external/highwayhash",
    ],
    linkopts = ["-l:libtensorflow_cc.so.2"],
    deps = [":tensorflow"],
)
"""

def _impl(repository_ctx):
    facts = installed(repository_ctx)
    flags = facts["tensorflow.cxxflags"].split(" ")

    # TensorFlow is built with NDEBUG, and the layout of its RefCounted depends
    # on it: without it objects made here are misread there.
    defines = ["NDEBUG"] + [flag[2:] for flag in flags if flag.startswith("-D")]

    # TensorFlow's headers do not know their own version.
    defines.append("TENSORFLOW_TVM_TENSORFLOW_VERSION=" + facts["tensorflow.version"])
    link(repository_ctx, facts["tensorflow.include"], "include")
    repository_ctx.file("BUILD", _BUILD.format(
        defines = repr(defines),
        lib = facts["tensorflow.lib"],
    ))
    repository_ctx.file("defs.bzl", "TF_COPTS = %r\n" % [
        flag
        for flag in flags
        if flag.startswith("-std=") or flag.startswith("--std=")
    ])

tensorflow_configure = repository_rule(implementation = _impl)
