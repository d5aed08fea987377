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

// Memory between pages that nobody may touch, what TVM's code calls for workspaces and parallel
// loops, and calls of its functions: for processes without TensorFlow.

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>

#include "tvm/ffi/c_api.h"

namespace {

constexpr uintptr_t kPage = 4096;
constexpr uintptr_t kAlignment = 64;
constexpr uint64_t kMostBytes = uint64_t{1} << 30;
constexpr int kMostBlocks = 4096;
constexpr int kTasks = 4;

struct Block {
  uint8_t* map;  // a page that may not be touched, pages, and another such page
  uint64_t map_bytes;
  uint8_t* data;
  uint64_t bytes;
  uint8_t fill;
  char label[32];
};

Block blocks[kMostBlocks];
int num_blocks = 0;
bool at_start = false;  // whether memory begins right after a page that may not be touched
uint8_t fill = 0;
char violation[256];
int report_fd = -1;
uint64_t workspace_bytes = 0;  // the most that was asked for at once

uint64_t RoundUp(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

void* Allocate(uint64_t bytes, const char* label) {
  if (bytes > kMostBytes || num_blocks == kMostBlocks) return nullptr;
  const uint64_t inner = RoundUp(bytes == 0 ? 1 : bytes, kPage);
  void* map = mmap(nullptr, inner + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) return nullptr;
  Block& block = blocks[num_blocks++];
  block.map = static_cast<uint8_t*>(map);
  block.map_bytes = inner + 2 * kPage;
  block.bytes = bytes;
  block.fill = fill;
  snprintf(block.label, sizeof(block.label), "%s", label);
  uint8_t* first = block.map + kPage;
  mprotect(first, inner, PROT_READ | PROT_WRITE);
  std::memset(first, fill, inner);
  block.data = at_start ? first : first + inner - RoundUp(bytes, kAlignment);
  return block.data;
}

void Check(const Block& block) {
  const uint8_t* first = block.map + kPage;
  const uint8_t* last = block.map + block.map_bytes - kPage;
  for (const uint8_t* at = first; at < last; ++at) {
    if (at == block.data) at += block.bytes;
    if (at >= last) break;
    if (*at != block.fill && violation[0] == '\0') {
      snprintf(violation, sizeof(violation), "wrote byte %ld of %s, which has %lu bytes",
               static_cast<long>(at - block.data), block.label,
               static_cast<unsigned long>(block.bytes));
    }
  }
}

void Free(int at) {
  Check(blocks[at]);
  munmap(blocks[at].map, blocks[at].map_bytes);
  blocks[at] = blocks[--num_blocks];
}

void OnSignal(int number, siginfo_t* info, void*) {
  char text[160];
  const uint8_t* address = static_cast<const uint8_t*>(info->si_addr);
  int length = snprintf(text, sizeof(text), "at no block");
  for (int i = 0; i < num_blocks; ++i) {
    const Block& block = blocks[i];
    if (address >= block.map && address < block.map + block.map_bytes) {
      length = snprintf(text, sizeof(text), "at byte %ld of %s, which has %lu bytes",
                        static_cast<long>(address - block.data), block.label,
                        static_cast<unsigned long>(block.bytes));
    }
  }
  if (report_fd >= 0 && write(report_fd, text, length) < 0) _exit(1);
  signal(number, SIG_DFL);
  raise(number);
}

using Body = int (*)(int task, void* env, void* data);
struct Environment {
  void* sync_handle;
  int32_t num_task;
};

}  // namespace

extern "C" {

// Takes the signals that kill, and writes to `fd` what memory they were about.
void guarded_start(int fd) {
  report_fd = fd;
  struct sigaction action;
  std::memset(&action, 0, sizeof(action));
  action.sa_sigaction = OnSignal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  static char stack[65536];
  stack_t alternative = {stack, 0, sizeof(stack)};
  sigaltstack(&alternative, nullptr);
  for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigaction(number, &action, nullptr);
}

// Begins a call: memory is filled with `byte`, and begins (or ends) at a page's edge.
void guarded_begin(int begins, int byte) {
  at_start = begins != 0;
  fill = static_cast<uint8_t>(byte);
  violation[0] = '\0';
  workspace_bytes = 0;
}

void* guarded_allocate(uint64_t bytes, const char* label) { return Allocate(bytes, label); }

// Frees all memory, and returns what was written outside it, or "".
const char* guarded_end() {
  while (num_blocks > 0) Free(num_blocks - 1);
  return violation;
}

uint64_t guarded_workspace_bytes() { return workspace_bytes; }

void* guarded_workspace(int, int, uint64_t bytes, int, int) {
  if (bytes > workspace_bytes) workspace_bytes = bytes;
  void* data = Allocate(bytes, "a workspace");
  if (data == nullptr) TVMFFIErrorSetRaisedFromCStr("MemoryError", "no memory for a workspace");
  return data;
}

int guarded_free_workspace(int, int, void* data) {
  for (int i = num_blocks - 1; i >= 0; --i) {
    if (blocks[i].data == data) {
      Free(i);
      return 0;
    }
  }
  snprintf(violation, sizeof(violation), "freed a workspace that is not there");
  return 0;
}

int guarded_launch(Body body, void* data, int tasks) {
  Environment environment = {nullptr, tasks > 0 ? tasks : kTasks};
  for (int task = 0; task < environment.num_task; ++task) {
    if (body(task, &environment, data) != 0) return -1;
  }
  return 0;
}

// Calls a function of tvm-ffi; if it fails, `message` is what it says.
int guarded_call(void* function, const TVMFFIAny* arguments, int count, char* message, int size) {
  TVMFFIAny result;
  std::memset(&result, 0, sizeof(result));
  const int code =
      reinterpret_cast<TVMFFISafeCallType>(function)(nullptr, arguments, count, &result);
  if (code == 0) return 0;
  TVMFFIObjectHandle error = nullptr;
  TVMFFIErrorMoveFromRaised(&error);
  snprintf(message, size, "a failure that is not explained");
  if (error != nullptr) {
    const auto* cell = reinterpret_cast<const TVMFFIErrorCell*>(
        reinterpret_cast<const char*>(error) + sizeof(TVMFFIObject));
    snprintf(message, size, "%.*s: %.*s", static_cast<int>(cell->kind.size), cell->kind.data,
             static_cast<int>(cell->message.size), cell->message.data);
    TVMFFIObjectDecRef(error);
  }
  return code;
}

}  // extern "C"
