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

// A fake CUDA runtime: what libtvm_runtime_cuda calls of libcudart.so.13. Memory of the device is
// the host's.

#include <cstdlib>
#include <cstring>

#include "tensorflow_tvm/tests/fake_gpu/record.h"

namespace {

constexpr int kDevices = 2;
constexpr int kNoDevice = 101;
thread_local int current = 0;

int Call(const char* name, const void* stream = nullptr) {
  return FakeGpuCall(name, current, stream, "");
}

}  // namespace

#define EXPORT __attribute__((visibility("default")))

extern "C" {

EXPORT const char* cudaGetErrorName(int code) {
  return code == 2 ? "cudaErrorMemoryAllocation" : "cudaErrorOfFakeGpu";
}
EXPORT const char* cudaGetErrorString(int code) {
  return code == 2 ? "out of memory" : "the fake GPU was asked to fail";
}
EXPORT int cudaGetLastError() { return 0; }
EXPORT int cudaPeekAtLastError() { return 0; }

EXPORT int cudaGetDeviceCount(int* count) {
  *count = kDevices;
  return 0;
}
EXPORT int cudaGetDevice(int* device) {
  *device = current;
  return 0;
}
EXPORT int cudaSetDevice(int device) {
  if (device < 0 || device >= kDevices) return kNoDevice;
  current = device;
  return 0;
}
EXPORT int cudaDeviceGetAttribute(int* value, int attribute, int device) {
  if (device < 0 || device >= kDevices) return kNoDevice;
  switch (attribute) {
    case 4: *value = 64; break;                  // block, third dimension
    case 8: *value = 48 << 10; break;            // shared memory per block
    case 10: *value = 32; break;                 // warp
    case 12: *value = 1 << 16; break;            // registers per block
    case 16: *value = 8; break;                  // multiprocessors
    case 75: *value = 8; break;                  // compute capability 8.0
    case 76: *value = 0; break;
    default: *value = 1024;
  }
  return 0;
}
EXPORT int cudaGetDeviceProperties(void*, int device) {
  return device < 0 || device >= kDevices ? kNoDevice : 0;
}
EXPORT int cudaMemGetInfo(size_t* available, size_t* total) {
  *available = *total = size_t{1} << 30;
  return 0;
}

EXPORT int cudaMalloc(void** data, size_t size) {
  if (int code = Call("cudaMalloc")) return code;
  *data = std::aligned_alloc(256, (size + 255) / 256 * 256);
  return *data == nullptr ? 2 : 0;
}
EXPORT int cudaFree(void* data) {
  std::free(data);
  return 0;
}
EXPORT int cudaMallocHost(void** data, size_t size) { return cudaMalloc(data, size); }
EXPORT int cudaFreeHost(void* data) { return cudaFree(data); }
EXPORT int cudaMemcpyAsync(void* to, const void* from, size_t size, int, void* stream) {
  if (int code = Call("cudaMemcpyAsync", stream)) return code;
  std::memmove(to, from, size);
  return 0;
}
EXPORT int cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t size, void* stream) {
  return cudaMemcpyAsync(to, from, size, 4, stream);
}

EXPORT int cudaStreamCreate(void** stream) {
  *stream = FakeGpuNewStream(current);
  return 0;
}
EXPORT int cudaStreamCreateWithFlags(void** stream, unsigned) { return cudaStreamCreate(stream); }
EXPORT int cudaStreamDestroy(void*) { return 0; }
EXPORT int cudaStreamSynchronize(void* stream) { return Call("cudaStreamSynchronize", stream); }
EXPORT int cudaStreamWaitEvent(void* stream, void*, unsigned) {
  return Call("cudaStreamWaitEvent", stream);
}
EXPORT int cudaStreamBeginCapture(void*, int) { return 801; }
EXPORT int cudaStreamEndCapture(void*, void**) { return 801; }
EXPORT int cudaGraphInstantiate(void**, void*, unsigned long long) { return 801; }
EXPORT int cudaGraphLaunch(void*, void*) { return 801; }
EXPORT int cudaGraphDestroy(void*) { return 0; }
EXPORT int cudaGraphExecDestroy(void*) { return 0; }

EXPORT int cudaEventCreate(void** event) {
  *event = std::malloc(1);
  return 0;
}
EXPORT int cudaEventDestroy(void* event) {
  std::free(event);
  return 0;
}
EXPORT int cudaEventRecord(void*, void* stream) { return Call("cudaEventRecord", stream); }
EXPORT int cudaEventSynchronize(void*) { return Call("cudaEventSynchronize"); }
EXPORT int cudaEventElapsedTime(float* milliseconds, void*, void*) {
  *milliseconds = 0;
  return 0;
}
}
