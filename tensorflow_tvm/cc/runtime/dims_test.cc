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

#include "tensorflow_tvm/cc/runtime/dims.h"

#include <cstdint>
#include <limits>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/match.h"
#include "tensorflow/core/framework/tensor_shape.h"

namespace tensorflow_tvm {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

// Whatever is accepted, in whatever order, TensorFlow accepts too.
void TestAccepted() {
  for (std::vector<int64_t> dims : std::vector<std::vector<int64_t>>{
           {}, {0}, {7}, {kMost / 4}, {0, kMost / 4}, {kMost / 4, 0}, {1 << 30, 1 << 30, 0}}) {
    CHECK_OK(CheckDims(dims, 32));
    tensorflow::TensorShape shape;
    CHECK_OK(tensorflow::TensorShape::BuildTensorShape(dims, &shape));
  }
  CHECK_OK(CheckDims({kMost, 0}, 8));
  CHECK_OK(CheckDims({kMost, 0}, 1));
  CHECK_OK(CheckDims({-1, 3, -1}, 32, /*may_be_unknown=*/true));
  CHECK_OK(CheckDims(std::vector<int64_t>(kMostDimensions, 1), 64));
}

void TestRefused() {
  const int64_t int32_most = std::numeric_limits<int32_t>::max();
  struct {
    std::vector<int64_t> dims;
    int bits;
    bool may_be_unknown;
    const char* message;
  } const cases[] = {
      {std::vector<int64_t>(255, 1), 32, false, "at most 254 dimensions, given 255"},
      {std::vector<int64_t>(300, -1), 32, true, "at most 254 dimensions, given 300"},
      {{-1}, 32, false, "dimension 0 is -1"},
      {{0, -2}, 32, true, "dimension 1 is -2"},
      {{0, std::numeric_limits<int64_t>::min()}, 32, false, "dimension 1 is -9223372036854775808"},
      {{kMost}, 16, false, "more than 2^63-1 bytes"},
      {{int64_t{1} << 62, 4, 0}, 8, false, "more than 2^63-1 bytes"},
      {{0, int64_t{1} << 62, 4}, 8, false, "more than 2^63-1 bytes"},
      {{int64_t{1} << 62, -1, 4}, 8, true, "more than 2^63-1 bytes"},
      {{int32_most, int32_most, 0}, 32, false, "more than 2^63-1 bytes"},
      {{kMost, kMost, kMost}, 64, false, "more than 2^63-1 bytes"},
  };
  for (const auto& test : cases) {
    const absl::Status status = CheckDims(test.dims, test.bits, test.may_be_unknown);
    CHECK(absl::IsInvalidArgument(status) && absl::StrContains(status.message(), test.message))
        << status << " in place of " << test.message;
  }
}

void TestToString() {
  CHECK_EQ(DimsToString({}), "[]");
  CHECK_EQ(DimsToString({2, 0, -3}), "[2,0,-3]");
  const std::string many = DimsToString(std::vector<int64_t>(100000, 1));
  CHECK(absl::StartsWith(many, "[1,1,") && absl::EndsWith(many, ",1,…]") && many.size() < 100);
}

void TestStrides() {
  const int64_t dims[] = {2, 3, 4};
  int64_t strides[3];
  FillStrides(dims, 3, strides);
  CHECK_EQ(strides[0], 12);
  CHECK_EQ(strides[1], 4);
  CHECK_EQ(strides[2], 1);
  const int64_t overflowing[] = {0, kMost, kMost};
  FillStrides(overflowing, 3, strides);  // which the undefined behaviour sanitizer sees
  CHECK_EQ(strides[2], 1);
}

}  // namespace
}  // namespace tensorflow_tvm

int main() {
  static_assert(tensorflow_tvm::kMostDimensions == tensorflow::TensorShape::MaxDimensions());
  tensorflow_tvm::TestAccepted();
  tensorflow_tvm::TestRefused();
  tensorflow_tvm::TestToString();
  tensorflow_tvm::TestStrides();
  return 0;
}
