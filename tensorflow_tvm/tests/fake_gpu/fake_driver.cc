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

// A fake CUDA driver: what libtvm_runtime_cuda calls of libcuda.so.1. Device code is a shared
// library for the host, which launches run, one thread after the other. No GPU and no header of
// CUDA's is needed; types are those of CUDA's ABI.

#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tensorflow_tvm/tests/fake_gpu/record.h"

namespace {

constexpr int kInvalidImage = 200;
constexpr int kNotFound = 500;

std::mutex mutex;
std::string record;
std::map<std::string, std::pair<int, int>> failures;  // of calls: the code, and how many are left
std::set<const void*> streams;

struct Module {
  void* library;
  int file;  ///< open as long: the loader takes another file of this number for the same library
};

struct Kernel {
  std::string name;
  // Runs one thread: parameters, then the indices of its block and of itself in it.
  void (*run)(void** parameters, const unsigned* block, const unsigned* thread);
  int parameters;
};

struct LaunchConfig {  // CUlaunchConfig
  unsigned grid[3];
  unsigned block[3];
  unsigned shared_bytes;
  void* stream;
  void* attributes;
  unsigned attribute_count;
};

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int FakeGpuCall(const char* call, int device, const void* stream, const char* details) {
  char head[256];
  std::lock_guard<std::mutex> lock(mutex);
  // A stream that nobody made must not be looked into.
  const bool known = streams.count(stream) > 0;
  const FakeStream* fake = static_cast<const FakeStream*>(stream);
  std::snprintf(head, sizeof(head),
                "{\"call\": \"%s\", \"device\": %d, \"stream\": %d, \"stream_device\": %d", call,
                device, stream == nullptr ? 0 : (known ? fake->index : -1),
                known ? fake->device : -1);
  if (!record.empty()) record += ",\n";
  record += head;
  if (*details != 0) record += std::string(", ") + details;
  record += "}";
  auto failure = failures.find(call);
  if (failure == failures.end() || failure->second.second == 0) return 0;
  --failure->second.second;
  return failure->second.first;
}

EXPORT FakeStream* FakeGpuNewStream(int device) {
  std::lock_guard<std::mutex> lock(mutex);
  auto* stream = new FakeStream{device, static_cast<int>(streams.size()) + 1};
  streams.insert(stream);  // for good: a stream that is gone must still be known
  return stream;
}

EXPORT void FakeGpuClear() {
  std::lock_guard<std::mutex> lock(mutex);
  record.clear();
  failures.clear();
}

EXPORT const char* FakeGpuRecord() {
  static std::string text;
  std::lock_guard<std::mutex> lock(mutex);
  text = "[" + record + "]";
  return text.c_str();
}

EXPORT void FakeGpuFail(const char* call, int code, int count) {
  std::lock_guard<std::mutex> lock(mutex);
  failures[call] = {code, count};
}

EXPORT int cuGetErrorName(int code, const char** text) {
  *text = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_OF_FAKE_GPU";
  return 0;
}

EXPORT int cuGetErrorString(int code, const char** text) {
  *text = code == 2 ? "out of memory" : "the fake GPU was asked to fail";
  return 0;
}

EXPORT int cuDeviceGetName(char* name, int size, int) {
  std::snprintf(name, size, "Fake GPU");
  return 0;
}

EXPORT int cuModuleLoadData(Module** module, const void* image) {
  *module = nullptr;
  if (int code = FakeGpuCall("cuModuleLoadData", -1, nullptr, "")) return code;
  const auto* header = static_cast<const Elf64_Ehdr*>(image);
  if (std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return kInvalidImage;
  const size_t size = header->e_shoff + size_t{header->e_shnum} * header->e_shentsize;
  const int file = memfd_create("device_code", 0);
  if (file < 0 || write(file, image, size) != static_cast<ssize_t>(size)) return kInvalidImage;
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    close(file);
    std::fprintf(stderr, "fake GPU: %s\n", dlerror());
    return kInvalidImage;
  }
  *module = new Module{library, file};
  return 0;
}

EXPORT int cuModuleUnload(Module* module) {
  if (module == nullptr) return 0;
  dlclose(module->library);
  close(module->file);
  delete module;
  return 0;
}

EXPORT int cuModuleGetFunction(Kernel** kernel, Module* module, const char* name) {
  const std::string symbol = name;
  void* run = dlsym(module->library, (symbol + "__run").c_str());
  void* parameters = dlsym(module->library, (symbol + "__parameters").c_str());
  if (run == nullptr || parameters == nullptr) return kNotFound;
  *kernel = new Kernel{symbol, reinterpret_cast<decltype(Kernel::run)>(run),
                       *static_cast<const int*>(parameters)};
  return 0;
}

EXPORT int cuFuncSetAttribute(Kernel*, int, int) { return 0; }

EXPORT int cuTensorMapEncodeTiled(...) { return 801; }  // not supported

EXPORT int cuLaunchKernelEx(const LaunchConfig* config, Kernel* kernel, void** parameters, void**) {
  auto current = reinterpret_cast<int (*)(int*)>(dlsym(RTLD_DEFAULT, "cudaGetDevice"));
  int device = -1;
  if (current != nullptr) current(&device);
  std::string details = "\"kernel\": \"" + kernel->name + "\", \"grid\": [";
  for (int i = 0; i < 3; ++i) details += (i ? ", " : "") + std::to_string(config->grid[i]);
  details += "], \"block\": [";
  for (int i = 0; i < 3; ++i) details += (i ? ", " : "") + std::to_string(config->block[i]);
  details += "], \"parameters\": [";
  for (int i = 0; i < kernel->parameters; ++i) {
    details += (i ? ", " : "") + std::to_string(*static_cast<uint64_t*>(parameters[i]));
  }
  details += "]";
  if (int code = FakeGpuCall("cuLaunchKernelEx", device, config->stream, details.c_str())) {
    return code;
  }
  unsigned block[3];
  unsigned thread[3];
  for (block[2] = 0; block[2] < config->grid[2]; ++block[2])
    for (block[1] = 0; block[1] < config->grid[1]; ++block[1])
      for (block[0] = 0; block[0] < config->grid[0]; ++block[0])
        for (thread[2] = 0; thread[2] < config->block[2]; ++thread[2])
          for (thread[1] = 0; thread[1] < config->block[1]; ++thread[1])
            for (thread[0] = 0; thread[0] < config->block[0]; ++thread[0])
              kernel->run(parameters, block, thread);
  return 0;
}
