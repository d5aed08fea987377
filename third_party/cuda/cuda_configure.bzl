"""The CUDA toolkit for --config=cuda, or a target that says it is missing."""

load("//third_party:installed.bzl", "installed", "link")

_BUILD = """
load(":defs.bzl", "cuda_missing")
load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])

# True under --config=cuda.
config_setting(
    name = "enabled",
    define_values = {"cuda": "true"},
)
"""

_FOUND = """
cc_library(
    name = "cuda",
    hdrs = ["include"],
    defines = ["TENSORFLOW_TVM_CUDA=1"],
    includes = ["include"],
)
"""

_MISSING = """
cuda_missing(name = "cuda")
"""

_DEFS = '''"""What //third_party/cuda says where there is no CUDA toolkit."""

def _impl(ctx):
    fail("--config=cuda needs the CUDA toolkit's headers, and configure.py found none. " +
         "Install the toolkit, or name its folder: CUDA_HOME=/path ./bazelw ..., or " +
         "python3 configure.py --cuda-path=/path. Without --config=cuda the GPU kernels " +
         "are built all the same.")

cuda_missing = rule(implementation = _impl)
'''

def _impl(repository_ctx):
    facts = installed(repository_ctx)
    found = "cuda.include" in facts
    if found:
        link(repository_ctx, facts["cuda.include"], "include")
    repository_ctx.file("defs.bzl", _DEFS)
    repository_ctx.file("BUILD", _BUILD + (_FOUND if found else _MISSING))

cuda_configure = repository_rule(implementation = _impl)
