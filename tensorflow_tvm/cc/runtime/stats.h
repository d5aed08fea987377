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

#ifndef TENSORFLOW_TVM_CC_RUNTIME_STATS_H_
#define TENSORFLOW_TVM_CC_RUNTIME_STATS_H_

#include <atomic>
#include <cstdint>

namespace tensorflow_tvm {

/// What the op did, since the process began, that a user may want to do without.
struct Stats {
  std::atomic<int64_t> alignment_copies{0};
  std::atomic<int64_t> alignment_copied_bytes{0};

  /// Outputs copied because the function that returned them keeps them, or got their memory
  /// elsewhere than from TensorFlow.
  std::atomic<int64_t> output_copies{0};
  std::atomic<int64_t> output_copied_bytes{0};

  static Stats& Global() {
    static Stats stats;
    return stats;
  }
};

}  // namespace tensorflow_tvm

#endif  // TENSORFLOW_TVM_CC_RUNTIME_STATS_H_
