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

#include "tensorflow_tvm/cc/runtime/callee.h"

#include "absl/log/check.h"
#include "absl/strings/match.h"

namespace tensorflow_tvm {
namespace {

void TestDefaults() {
  absl::StatusOr<Callee> callee = Callee::Parse(R"({"digest": "sha256:0", "function": "f"})");
  CHECK_OK(callee);
  CHECK_EQ(callee->digest, "sha256:0");
  CHECK_EQ(callee->function, "f");
  CHECK_EQ(callee->library_name, "library");
  CHECK_EQ(callee->memory_align, 64);
  CHECK(callee->output_shapes.empty());
}

void TestAllKeys() {
  absl::StatusOr<Callee> callee = Callee::Parse(
      R"({"digest": "d", "function": "f", "library_name": "a \"b\".so", "memory_align": 256,
          "output_shapes": [[2, 3], []]})");
  CHECK_OK(callee);
  CHECK_EQ(callee->library_name, "a \"b\".so");
  CHECK_EQ(callee->memory_align, 256);
  CHECK((callee->output_shapes == std::vector<std::vector<int64_t>>{{2, 3}, {}}));
}

void TestSmallAlignmentIsRaised() {
  CHECK_EQ(Callee::Parse(R"({"digest": "d", "function": "f", "memory_align": 1})")->memory_align,
           64);
}

void TestErrors() {
  const std::string deep(100000, '[');
  struct {
    const char* json;
    const char* expected;
  } const cases[] = {
      {"{", "cannot be read"},
      {"", "cannot be read"},
      {deep.c_str(), "nested too deeply"},
      {"[]", "cannot be read"},
      {"{}", "must give"},
      {R"({"digest": "d"})", "must give"},
      {R"({"output_shapes": 3})", "cannot be read"},
      {R"({"output_shapes": [["n"]]})", "cannot be read"},
      {R"({"digest": "d", "function": "f", "memory_align": 3})", "power of two"},
      {R"({"digest": "d", "function": "f", "memory_align": -64})", "power of two"},
      {R"({"digest": "d", "function": "f", "memory_align": 4294967296})", "power of two"},
      {R"({"from_the_future": 1})", "unknown key 'from_the_future'"},
  };
  for (const auto& test : cases) {
    absl::Status status = Callee::Parse(test.json).status();
    CHECK(absl::IsInvalidArgument(status)) << test.json;
    CHECK(absl::StrContains(status.message(), test.expected)) << status;
  }
}

}  // namespace
}  // namespace tensorflow_tvm

int main() {
  using namespace tensorflow_tvm;  // NOLINT: a test's main
  TestDefaults();
  TestAllKeys();
  TestSmallAlignmentIsRaised();
  TestErrors();
  return 0;
}
