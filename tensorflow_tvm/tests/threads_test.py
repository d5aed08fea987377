# Copyright 2026 The tensorflow_tvm Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ==============================================================================
"""Which threads run TVM's parallel loops, and that calls neither allocate nor lock.

TensorFlow makes one intra-op pool a process, so that what depends on its size is tried in processes
of their own.
"""

from __future__ import annotations

import os
import textwrap

import numpy as np
import pytest
import tensorflow as tf
from tvm.script import tirx as T

import tensorflow_tvm as tftvm
from tensorflow_tvm.tests import libraries
from tensorflow_tvm.tests.subprocesses import check_python

# Loops that TVM's compiler does not make, by the slots that TVM's libraries have. A task that waits
# in vain for the others is an error, and no test that hangs.
LOOPS = """
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <tvm/ffi/c_api.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>

struct Group {
  void* sync_handle;
  int32_t num_task;
};
using Body = int (*)(int task, Group* group, void* data);
extern "C" {
int (*__TVMBackendParallelLaunch)(Body body, void* data, int num_task) = nullptr;
}

static int64_t thread() { return syscall(SYS_gettid); }

static int64_t* data(const TVMFFIAny& argument) {
  return static_cast<int64_t*>(static_cast<DLTensor*>(argument.v_ptr)->data);
}

static int fail(const char* message) {
  TVMFFIErrorSetRaisedFromCStr("ValueError", message);
  return -1;
}

static int wait_until(const std::atomic<int>& counter, int value) {
  for (const time_t end = time(nullptr) + 60; counter.load() < value; sched_yield()) {
    if (time(nullptr) > end) return fail("nobody else came");
  }
  return 0;
}

// meet(n) -> threads: runs a loop whose first n tasks wait for each other, and gives the thread of
// each task after the number of tasks and the caller.
struct Meeting {
  int wanted;
  int64_t* threads;
  std::atomic<int> num_task{0}, arrived{0};
};
static int meet(int task, Group* group, void* data) {
  auto* meeting = static_cast<Meeting*>(data);
  meeting->num_task = group->num_task;
  meeting->threads[2 + task] = thread();
  if (task >= meeting->wanted) return 0;
  ++meeting->arrived;
  return wait_until(meeting->arrived, meeting->wanted);
}
extern "C" int __tvm_ffi_meet(void*, const TVMFFIAny* args, int32_t, TVMFFIAny*) {
  Meeting meeting{static_cast<int>(*data(args[0])), data(args[1])};
  std::fill_n(meeting.threads, 66, 0);
  const int code = __TVMBackendParallelLaunch(meet, &meeting, 0);
  meeting.threads[0] = meeting.num_task;
  meeting.threads[1] = thread();
  return code;
}

// fail_on(helper) -> 0: two threads meet, and one fails: the caller, or the one that helps it.
struct Failure {
  bool on_helper;
  int64_t caller;
  std::atomic<int> arrived{0};
};
static int fail_on(int task, Group*, void* data) {
  auto* failure = static_cast<Failure*>(data);
  if (task >= 2) return 0;
  ++failure->arrived;
  if (int code = wait_until(failure->arrived, 2)) return code;
  if ((thread() != failure->caller) != failure->on_helper) return 0;
  return fail(failure->on_helper ? "the helper failed" : "the caller failed");
}
extern "C" int __tvm_ffi_fail_on(void*, const TVMFFIAny* args, int32_t, TVMFFIAny*) {
  Failure failure{*data(args[0]) != 0, thread()};
  __TVMBackendParallelLaunch(fail_on, &failure, 4);
  return 0;  // as TVM's code does, which does not look
}

// uneven(n) -> n: the first task takes until all others are done.
struct Uneven {
  int wanted;
  std::atomic<int> done{0};
};
static int uneven(int task, Group* group, void* data) {
  auto* loop = static_cast<Uneven*>(data);
  if (task == 0) return wait_until(loop->done, group->num_task - 1);
  ++loop->done;
  return 0;
}
extern "C" int __tvm_ffi_uneven(void*, const TVMFFIAny* args, int32_t, TVMFFIAny*) {
  Uneven loop{static_cast<int>(*data(args[0]))};
  const int code = __TVMBackendParallelLaunch(uneven, &loop, loop.wanted);
  *data(args[1]) = loop.done + 1;
  return code;
}

// nested(n) -> n * n * n: loops of n tasks in loops in loops.
struct Nest {
  int size, depth;
  std::atomic<int64_t>* runs;
};
static int nested(int, Group*, void* data) {
  Nest inner = *static_cast<Nest*>(data);
  if (--inner.depth > 0) return __TVMBackendParallelLaunch(nested, &inner, inner.size);
  ++*inner.runs;
  return 0;
}
extern "C" int __tvm_ffi_nested(void*, const TVMFFIAny* args, int32_t, TVMFFIAny*) {
  std::atomic<int64_t> runs{0};
  Nest loop{static_cast<int>(*data(args[0])), 3, &runs};
  const int code = __TVMBackendParallelLaunch(nested, &loop, loop.size);
  *data(args[1]) = runs;
  return code;
}
"""

# A library whose tasks wait for each other, as those of TVM's parallel barrier do.
BARRIER = (
    LOOPS
    + """
extern "C" {
int (*__TVMBackendParallelBarrier)(int task, Group* group) = nullptr;
}

// barrier(any) -> number of tasks: each adds one, and sees what all have added.
static int add_and_look(int task, Group* group, void* data) {
  auto* arrived = static_cast<std::atomic<int>*>(data);
  ++*arrived;
  __TVMBackendParallelBarrier(task, group);
  return arrived->load() == group->num_task ? 0 : fail("a task is ahead of the barrier");
}
extern "C" int __tvm_ffi_barrier(void*, const TVMFFIAny* args, int32_t, TVMFFIAny*) {
  std::atomic<int> arrived{0};
  const int code = __TVMBackendParallelLaunch(add_and_look, &arrived, 0);
  *data(args[1]) = arrived;
  return code;
}
"""
)

# What the processes of the tests begin with.
BEGIN = """
import os, sys, threading
import numpy as np
import tensorflow as tf
import tensorflow_tvm as tftvm

tf1 = tf.compat.v1
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[2]))
module = tftvm.Module(sys.argv[1])
meet = module.func("meet", output_shape=[66], output_dtype="int64", stateful=True)
fail_on, uneven, nested = (
    module.func(name, output_shape=[1], output_dtype="int64", stateful=True)
    for name in ("fail_on", "uneven", "nested")
)

def number(value):
    return tf.constant([value], tf.int64)

def threads(row):  # that ran the loop, and the one that called it
    return {int(thread) for thread in np.asarray(row)[1:] if thread}
"""


@pytest.fixture(scope="module")
def run_with_threads(tmp_path_factory):
    """Return a function that runs code, in a process whose intra-op pool has so many threads."""
    path = libraries.compile_cc(LOOPS, tmp_path_factory.mktemp("lib") / "loops.so")

    def run(threads: int, code: str) -> list[str]:
        return check_python(BEGIN + textwrap.dedent(code), path, threads).splitlines()

    return run


@pytest.mark.parametrize("threads", [1, 4])
def test_intra_op_parallelism(run_with_threads, threads):
    """A loop has as many threads as TensorFlow's ops: no more, and no fewer."""
    output = run_with_threads(
        threads,
        """
        count = int(sys.argv[2])
        rows = [meet(number(count)), tf.function(meet)(number(count))]
        with tf.Graph().as_default(), tf1.Session() as session:
            n = tf1.placeholder(tf.int64, [1])
            rows.append(session.run(meet(n), {n: [count]}))
        print([len(threads(row)) for row in rows], [int(row[0]) == 1 for row in rows])
        """,
    )
    assert output == [f"{[threads] * 3} {[threads == 1] * 3}"]


def test_the_first_session_decides_as_it_does_for_tensorflow(run_with_threads):
    output = run_with_threads(
        0,
        """
        for count in (4, 1):
            config = tf1.ConfigProto(
                intra_op_parallelism_threads=count, use_per_session_threads=True
            )
            with tf.Graph().as_default(), tf1.Session(config=config) as session:
                n = tf1.placeholder(tf.int64, [1])
                print(len(threads(session.run(meet(n), {n: [4]}))))
        """,
    )
    assert output == ["4", "4"]


def test_threads_in_tf_data(run_with_threads):
    output = run_with_threads(
        4,
        """
        numbers = tf.data.Dataset.range(3)
        alone = lambda _: meet(number(1))
        inner = lambda _: numbers.map(alone)
        options = tf.data.Options()
        options.threading.max_intra_op_parallelism = 2
        options.threading.private_threadpool_size = 3
        for dataset in (
            numbers.map(alone),
            numbers.map(alone, num_parallel_calls=3),
            numbers.interleave(inner, cycle_length=3, num_parallel_calls=3),
            numbers.map(lambda _: meet(number(2)), num_parallel_calls=3).with_options(options),
        ):
            print({len(threads(row)) for row in dataset})
        """,
    )
    assert output == ["{1}", "{1}", "{1}", "{2}"]


def test_pool_of_a_request(run_with_threads):
    """TensorFlow's handlers of requests end the process if an op leaves tasks behind."""
    output = run_with_threads(
        4,
        """
        options = tf1.RunOptions(
            experimental=tf1.RunOptions.Experimental(use_run_handler_pool=True)
        )
        config = tf1.ConfigProto(inter_op_parallelism_threads=1)
        with tf.Graph().as_default(), tf1.Session(config=config) as session:
            n = tf1.placeholder(tf.int64, [1])
            row = meet(n)
            for _ in range(200):
                assert session.run(row, {n: [1]}, options=options)[0] > 1
        print("fine")
        """,
    )
    assert output == ["fine"]


def test_threads_and_affinity_stay_what_tensorflow_has(run_with_threads):
    output = run_with_threads(
        2,
        """
        everywhere = os.sched_getaffinity(0)

        def call_from_16_threads(fn, argument):
            function = tf.function(fn)
            with tf.Graph().as_default():
                session = tf1.Session()
                run = session.make_callable(fn(tf.constant(argument.numpy())))
            middle = threading.Barrier(17)

            def work():
                for _ in range(5):
                    fn(argument), function(argument), run()
                middle.wait()  # all have called
                middle.wait()  # their threads have been counted

            callers = [threading.Thread(target=work) for _ in range(16)]
            for caller in callers:
                caller.start()
            middle.wait()
            tasks = [int(task) for task in os.listdir("/proc/self/task")]
            kept = all(os.sched_getaffinity(task) == everywhere for task in tasks)
            middle.wait()
            for caller in callers:
                caller.join()
            return len(tasks), kept

        before = call_from_16_threads(lambda x: tf.matmul(x, x), tf.ones([300, 300]))
        after = call_from_16_threads(meet, number(1))
        print(before == after, after[1])
        """,
    )
    assert output == ["True True"]


def test_errors_balance_and_nesting(run_with_threads):
    """An error on any thread is the op's; a slow task keeps no other waiting; loops nest."""
    output = run_with_threads(
        2,
        """
        for helper, message in [(0, "the caller failed"), (1, "the helper failed")] * 20:
            try:
                fail_on(number(helper))
            except tf.errors.InvalidArgumentError as error:
                assert message in error.message, error.message
            else:
                raise AssertionError("no error")
        for n in (2, 3, 100):
            assert uneven(number(n)).numpy() == n
        print("fine")
        failures = []

        def work():
            if any(function(number(9)).numpy() != 9**3 for _ in range(20)):
                failures.append(threading.current_thread())

        function = tf.function(nested)
        callers = [threading.Thread(target=work) for _ in range(16)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        print(failures)
        """,
    )
    assert output == ["fine", "[]"]


def test_library_with_barriers_has_tvms_pool(tmp_path):
    path = libraries.compile_cc(BARRIER, tmp_path / "barrier.so")
    output = check_python(
        """
        import sys
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        barrier = tftvm.Module(sys.argv[1]).func("barrier", stateful=True)
        tasks = {int(barrier(tf.constant([0], tf.int64))[0]) for _ in range(3)}
        print(len(tasks), "libtvm_runtime" in open("/proc/self/maps").read())
        """,
        path,
    )
    assert output.strip() == "1 True"


def test_slots_are_set_again_when_a_library_is_loaded_again(tmp_path):
    path = libraries.compile_cc(LOOPS, tmp_path / "again.so")
    before = tftvm.stats()["libraries"]
    for _ in range(3):
        nested = tftvm.Module(path).func("nested", output_shape=[1], output_dtype="int64")
        np.testing.assert_array_equal(nested(tf.constant([3], tf.int64)), [27])
        del nested
        assert tftvm.stats()["libraries"] == before


@pytest.fixture(scope="module")
def parallel_path(tmp_path_factory):
    @T.prim_func
    def addone(a: T.handle, b: T.handle):
        T.func_attr({"global_symbol": "addone", "tirx.noalias": True})
        n = T.int32()
        A = T.match_buffer(a, (n,), "float32")
        B = T.match_buffer(b, (n,), "float32")
        for i in T.parallel(n):
            B[i] = A[i] + T.float32(1)

    return libraries.export(addone, tmp_path_factory.mktemp("lib") / "addone.so")


# Run by runpy in processes that start in any way: there is no function to be pickled.
CHILD = """
import tensorflow as tf
import tensorflow_tvm as tftvm
addone = tftvm.Module(library)["addone"]
x = tf.range(100_000.0)
for fn in (addone, tf.function(addone)):
    assert (fn(x).numpy() == x.numpy() + 1).all()
"""


def test_processes_that_are_started_from_one_that_has_called(parallel_path, tmp_path):
    child = tmp_path / "child.py"
    child.write_text(CHILD)
    output = check_python(
        """
        import multiprocessing, runpy, sys
        arguments = (sys.argv[1], {"library": sys.argv[2]})
        runpy.run_path(*arguments)
        processes = [
            multiprocessing.get_context(method).Process(target=runpy.run_path, args=arguments)
            for method in ("spawn", "forkserver")
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        print([process.exitcode for process in processes])
        """,
        str(child),
        parallel_path,
    )
    assert output.strip() == "[0, 0]"


def test_eager_calls_after_fork(parallel_path):
    """TensorFlow's own parallel ops hang there, and so do its functions."""
    output = check_python(
        """
        import os, signal, sys
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        tf.config.threading.set_intra_op_parallelism_threads(4)
        addone = tftvm.Module(sys.argv[1])["addone"]
        x = tf.range(100_000.0)
        addone(x)
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # ends the process if it hangs
            os._exit(not (addone(x).numpy() == x.numpy() + 1).all())
        print(os.waitpid(child, 0)[1])
        """,
        parallel_path,
    )
    assert output.strip() == "0"


# Counts what code of one library asks of the C library, and all allocations of the process.
COUNTER = """
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <string.h>
#include <atomic>
#include <new>

extern "C" void* __libc_malloc(size_t);
extern "C" void* __libc_memalign(size_t, size_t);

static std::atomic<uintptr_t> first, last;
static std::atomic<int64_t> counts[3];  // all allocations; the library's; the library's locks

#define CALLER reinterpret_cast<uintptr_t>(__builtin_return_address(0))
static bool is_watched(uintptr_t caller) { return first <= caller && caller < last; }
static void count_allocation(uintptr_t caller) {
  ++counts[0];
  if (is_watched(caller)) ++counts[1];
}
static void* allocate(size_t bytes) {
  if (void* memory = __libc_malloc(bytes)) return memory;
  throw std::bad_alloc();
}

void* operator new(size_t bytes) { return count_allocation(CALLER), allocate(bytes); }
void* operator new[](size_t bytes) { return count_allocation(CALLER), allocate(bytes); }

extern "C" {
void* malloc(size_t bytes) { return count_allocation(CALLER), __libc_malloc(bytes); }
void* aligned_alloc(size_t align, size_t bytes) {
  return count_allocation(CALLER), __libc_memalign(align, bytes);
}
int posix_memalign(void** memory, size_t align, size_t bytes) {
  count_allocation(CALLER);
  *memory = __libc_memalign(align, bytes);
  return *memory == nullptr;
}
int pthread_mutex_lock(pthread_mutex_t* mutex) {
  static const auto lock =
      reinterpret_cast<int (*)(pthread_mutex_t*)>(dlsym(RTLD_NEXT, "pthread_mutex_lock"));
  if (is_watched(CALLER)) ++counts[2];
  return lock(mutex);
}

static int watch_one(dl_phdr_info* info, size_t, void* name) {
  if (strstr(info->dlpi_name, static_cast<const char*>(name)) == nullptr) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || !(part.p_flags & PF_X)) continue;
    first = info->dlpi_addr + part.p_vaddr;
    last = first + part.p_memsz;
  }
  return 1;
}
int counter_watch(const char* name) { return dl_iterate_phdr(watch_one, const_cast<char*>(name)); }
int64_t counter_get(int i) { return counts[i]; }
}
"""


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="something else stands before the C library")
def test_calls_neither_allocate_nor_lock(addone_path, tmp_path):
    """Nor do they copy: what an op allocates is its output, by TensorFlow."""
    counter = libraries.compile_cc(COUNTER, tmp_path / "counter.so", "-O1")
    output = check_python(
        """
        import ctypes, os, sys
        import numpy as np
        import tensorflow as tf
        import tensorflow_tvm as tftvm
        tf1 = tf.compat.v1
        counter = ctypes.CDLL(os.environ["LD_PRELOAD"])
        library = os.path.basename(tftvm.sysconfig.get_lib_path())
        assert counter.counter_watch(library.encode()) == 1

        def counts(call, times):
            for _ in range(3):
                call()  # traces, and makes what is kept
            before = [counter.counter_get(i) for i in range(3)]
            for _ in range(times):
                call()
            return [(counter.counter_get(i) - before[i]) / times for i in range(3)]

        def in_a_chain(fn):  # per op: the difference that 1,000 more ops make
            seen = []
            for ops in (1000, 2000):
                config = tf1.ConfigProto(inter_op_parallelism_threads=1)
                with tf.Graph().as_default(), tf1.Session(config=config) as session:
                    x = y = tf1.placeholder(tf.float32, [3])
                    for _ in range(ops):
                        y = fn(y)
                    run, value = session.make_callable(y.op, [x]), np.float32([1, 2, 3])
                    seen.append(counts(lambda: run(value), 5))
            return [round((b - a) / 1000, 1) for a, b in zip(*seen)]

        module = tftvm.Module(sys.argv[1])  # which allocates and locks
        assert counter.counter_get(1) > 0 and counter.counter_get(2) > 0
        addone, x = module["addone"], tf.constant([1.0, 2.0, 3.0])
        print(*in_a_chain(lambda x: tf.raw_ops.ReverseV2(tensor=x, axis=[0])))
        print(*in_a_chain(addone))
        print(*counts(lambda: addone(x), 100)[1:])
        print(tftvm.stats()["alignment_copies"])
        """,
        addone_path,
        env={"LD_PRELOAD": counter},
    )
    rival, chain, eager, copies = output.splitlines()
    assert rival.endswith(" 0.0 0.0") and not rival.startswith("0")
    assert chain == rival
    assert eager == "0.0 0.0"
    assert copies == "0"
