"""tvm_library: TVM functions, compiled when Bazel builds."""

load("@local_config_python//:defs.bzl", "PYTHON")

def tvm_library(name, srcs, target = "host", tuned = [], deps = [], **kwargs):
    """A shared library of the TVM functions that a Python file defines.

    The file has a dict FUNCTIONS, as tensorflow_tvm.build takes it; without one, its PrimFuncs and
    IRModules are taken.

    Args:
      name: of the rule; the library is called <name>.so.
      srcs: the Python file, and others that it imports; it comes first.
      target: what to compile for, as tensorflow_tvm.build takes it: "host" is the processor of the
        machine that builds; "llvm" is any of its family; or a dict.
      tuned: schedules that tensorflow_tvm.tune has found: glob(["tuned/*.json"]). Those of other
        functions, targets and versions are not used. Without it, the default schedules are.
      deps: files that the Python file reads.
      **kwargs: for the genrule that this is: visibility, tags, testonly and so on.
    """
    compiler = Label("//tools:tvm_library.py")
    package = Label("//tensorflow_tvm:__init__.py")
    ops = Label("//tensorflow_tvm:_tvm_dso_ops.so")
    native.genrule(
        name = name,
        # Not tools, for which all would be compiled once more in another configuration.
        srcs = srcs + tuned + deps + [compiler, package, ops, Label("//tensorflow_tvm")],
        outs = [name + ".so"],
        cmd = " ".join([
            "TENSORFLOW_TVM_CACHE_DIR=",
            "'%s'" % PYTHON,
            "$(location %s)" % compiler,
            "--package=$(location %s)" % package,
            "--ops=$(location %s)" % ops,
            "--target='%s'" % target,
            "--output=$@",
            "$(location %s)" % srcs[0],
        ] + (["--tuned"] + ["$(locations %s)" % file for file in tuned] if tuned else [])),
        **kwargs
    )
