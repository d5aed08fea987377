"""The rules that the BUILD files of this project are written with."""

load("@local_config_tensorflow//:defs.bzl", "TF_COPTS")
load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")
load("@rules_python//python:defs.bzl", "py_test")

_COPTS = TF_COPTS + ["-fvisibility=hidden", "-Wall"]

# Where programs and libraries that run on this machine find TensorFlow and tvm-ffi.
_INSTALLED = [
    "@local_config_tensorflow//:rpath",
    "@local_config_tvm_ffi//:rpath",
]

def tftvm_cc_library(name, copts = [], deps = [], **kwargs):
    """A cc_library of this project.

    Args:
      name: as everywhere.
      copts: added to the project's own.
      deps: added to TensorFlow, tvm-ffi and (under --config=cuda) CUDA.
      **kwargs: for cc_library.
    """
    cc_library(
        name = name,
        copts = _COPTS + copts,
        # Hidden symbols: a shared library made of this alone could not be linked to.
        linkstatic = True,
        deps = deps + [
            "@local_config_tensorflow//:tensorflow",
            "@local_config_tvm_ffi//:tvm_ffi",
        ] + select({
            "@local_config_cuda//:enabled": ["@local_config_cuda//:cuda"],
            "//conditions:default": [],
        }),
        **kwargs
    )

def tftvm_op_library(name, deps, linkopts = [], **kwargs):
    """A shared library of ops, for tf.load_op_library.

    There are two of it: the one called `name` finds TensorFlow and tvm-ffi where they are installed
    on this machine, and relocatable/`name` beside itself: in its own folder, or as packages in the
    folder that its own is in.

    Args:
      name: the file name, such as _my_ops.so.
      deps: what it is made of; ops and kernels with alwayslink.
      linkopts: added to the project's own.
      **kwargs: for cc_binary.
    """
    script = "//tools:ops.lds"
    relative = ["$$ORIGIN", "$$ORIGIN/../tensorflow", "$$ORIGIN/../tvm_ffi/lib"]
    for path, where, options in [
        (name, _INSTALLED, []),
        ("relocatable/" + name, [], ["-Wl,-rpath,'%s'" % folder for folder in relative]),
    ]:
        cc_binary(
            name = path,
            linkopts = ["-Wl,--version-script=$(location %s)" % script] + options + linkopts,
            linkshared = True,
            deps = deps + where + [script],
            **kwargs
        )

def tftvm_cc_binary(name, copts = [], linkopts = [], deps = [], **kwargs):
    """A program that runs TensorFlow graphs, and finds TensorFlow where it is on this machine.

    Args:
      name: as everywhere.
      copts: added to the project's own.
      linkopts: added to the project's own.
      deps: added to TensorFlow, and to tvm-ffi's place for what is linked with it.
      **kwargs: for cc_binary.
    """
    cc_binary(
        name = name,
        copts = _COPTS + copts,
        # Ops and kernels register themselves: a library that has some is needed though nothing
        # refers to it.
        linkopts = ["-Wl,--no-as-needed"] + linkopts,
        deps = deps + ["@local_config_tensorflow//:tensorflow_cc"] + _INSTALLED,
        **kwargs
    )

def tftvm_test_library(name, srcs, deps = ["@local_config_tvm_ffi//:tvm_ffi"], **kwargs):
    """A shared library for tests to load, such as one that tvm-ffi's users write.

    Args:
      name: the file name, such as testdata/answer.so.
      srcs: of the library.
      deps: of it; by default tvm-ffi.
      **kwargs: for cc_binary.
    """
    cc_binary(
        name = name,
        testonly = True,
        srcs = srcs,
        copts = _COPTS,
        linkshared = True,
        deps = deps + _INSTALLED,
        **kwargs
    )

def tftvm_cc_tests(name, srcs, deps = [], overrides = {}, **kwargs):
    """One cc_test per file, named like the file, and a test_suite of all.

    Args:
      name: of the test_suite.
      srcs: files with a main(); exit status 0 passes.
      deps: of every test.
      overrides: attributes of single tests, by test name.
      **kwargs: attributes of all tests.
    """
    _per_file(name, srcs, ".cc", _cc_test, dict(kwargs, deps = deps), overrides)

def _cc_test(name, src, deps, **kwargs):
    cc_test(
        name = name,
        srcs = [src],
        copts = _COPTS,
        linkstatic = True,
        deps = deps + _INSTALLED,
        **kwargs
    )

def tftvm_py_tests(name, srcs, deps = [], overrides = {}, **kwargs):
    """One py_test per pytest file, named like the file, and a test_suite of all.

    Args:
      name: of the test_suite.
      srcs: pytest files.
      deps: of every test.
      overrides: attributes of single tests, by test name:
        {"tune_test": {"size": "large", "tags": ["exclusive"]}}.
      **kwargs: attributes of all tests.
    """
    _per_file(name, srcs, ".py", _py_test, dict(kwargs, deps = deps), overrides)

def _py_test(name, src, deps, args = [], **kwargs):
    runner = "//tools:pytest_main.py"
    py_test(
        name = name,
        srcs = [src, runner],
        # A runner, so that a test file needs no __main__ part: one that forgot it
        # would pass without running a test.
        main = runner,
        args = ["$(location %s)" % src] + args,
        deps = deps + ["//tools:pytest_config"],
        **kwargs
    )

def _per_file(name, srcs, extension, rule, attributes, overrides):
    names = []
    for src in srcs:
        test = src[:-len(extension)]
        names.append(test)
        rule(name = test, src = src, **dict(attributes, **overrides.get(test, {})))
    for test in overrides:
        if test not in names:
            fail("overrides: there is no test %s" % test)
    native.test_suite(name = name, tests = names)
