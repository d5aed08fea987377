/* Copyright 2026 The tensorflow_tvm Authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
==============================================================================*/

// What the fake GPU is asked to do, written down, and failures that tests ask for. It is part of
// the fake driver, libcuda.so.1; the fake runtime and the plugin find it there.

#ifndef TENSORFLOW_TVM_TESTS_FAKE_GPU_RECORD_H_
#define TENSORFLOW_TVM_TESTS_FAKE_GPU_RECORD_H_

#include <cstdint>

/// A stream of the fake GPU: what TensorFlow's SP_Stream and CUDA's CUstream point to.
struct FakeStream {
  int device;
  int index;  ///< counts the streams of all devices, from 1
};

extern "C" {

/// Writes down a call. `stream` is null for the default stream; `details` are further members of a
/// JSON object, or empty. Returns the error code that a test asked for, 0 for success.
int FakeGpuCall(const char* call, int device, const void* stream, const char* details);

/// Makes a stream that calls can name.
FakeStream* FakeGpuNewStream(int device);

/// For tests: forgets what was written down.
void FakeGpuClear();

/// For tests: what was written down, as JSON. The text stays until the next call.
const char* FakeGpuRecord();

/// For tests: the next `count` calls called `call` fail with `code`.
void FakeGpuFail(const char* call, int code, int count);
}

#endif  // TENSORFLOW_TVM_TESTS_FAKE_GPU_RECORD_H_
