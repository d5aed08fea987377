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
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tvm/ffi/container/array.h"
#include "tvm/ffi/string.h"

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
  CHECK(!callee->device.has_value());
  CHECK(!callee->signature.has_value());
  CHECK(!callee->arg_spec.has_value());
  CHECK(callee->attrs.empty());
  CHECK(!callee->returns_outputs());
  CHECK(!callee->owned_tensors);
}

void TestAllKeys() {
  absl::StatusOr<Callee> callee = Callee::Parse(
      R"({"digest": "d", "function": "f", "library_name": "a \"b\".so", "memory_align": 256,
          "output_shapes": [[2, 3], []]})");
  CHECK_OK(callee);
  CHECK_EQ(callee->library_name, "a \"b\".so");
  CHECK_EQ(callee->memory_align, 256);
  CHECK((callee->output_shapes == std::vector<std::vector<int64_t>>{{2, 3}, {}}));
  // Read by whoever differentiates the graph.
  CHECK_OK(Callee::Parse(
      R"({"digest": "d", "function": "f", "gradient": {"callee": {"gradient": {}}}})"));
}

void TestDevice() {
  struct {
    const char* name;
    DLDeviceType type;
    int index;
  } const cases[] = {
      {"ext_dev", kDLExtDev, 0},
      {"opencl:3", kDLOpenCL, 3},
      {"Vulkan", kDLVulkan, 0},
  };
  for (const auto& test : cases) {
    absl::StatusOr<Callee> callee = Callee::Parse(
        absl::StrCat(R"({"digest": "d", "function": "f", "device": ")", test.name, "\"}"));
    CHECK_OK(callee);
    CHECK_EQ(callee->device->device_type, test.type);
    CHECK_EQ(callee->device->device_id, test.index);
  }
}

Callee ParseWith(const std::string& keys) {
  absl::StatusOr<Callee> callee =
      Callee::Parse(absl::StrCat(R"({"digest": "d", "function": "f", )", keys, "}"));
  CHECK_OK(callee);
  return *std::move(callee);
}

void TestAttrs() {
  // Brackets in strings are not counted.
  const std::string brackets(70, '[');
  const Callee callee =
      ParseWith(absl::StrCat(R"("attrs": {"s": ")", brackets, R"(\"{{{{{{{{{{\\", "i": 3, )",
                             R"("f": 2.0, "b": true, "l": [1, 2]})"));
  CHECK_EQ(callee.attrs.size(), 5u);
  for (const auto& [name, value] : callee.attrs) {
    if (name == "s") CHECK_EQ(value.cast<std::string>(), brackets + "\"{{{{{{{{{{\\");
    if (name == "i") CHECK_EQ(value.cast<int64_t>(), 3);
    if (name == "f") CHECK_EQ(value.type_index(), kTVMFFIFloat);
    if (name == "b") CHECK_EQ(value.type_index(), kTVMFFIBool);
    if (name == "l") CHECK_EQ(value.cast<tvm::ffi::Array<int64_t>>().size(), 2u);
  }
}

/// The arguments as text: "a0" an input, "r0" an output, "k:x" an attr.
std::string ArgumentsOf(const std::string& keys, int inputs, int outputs) {
  const Callee callee = ParseWith(keys);
  absl::StatusOr<std::vector<Callee::Argument>> arguments = callee.Arguments(inputs, outputs);
  if (!arguments.ok()) return std::string(arguments.status().message());
  std::vector<std::string> parts;
  for (const Callee::Argument& argument : *arguments) {
    if (argument.kind == Callee::Argument::Kind::kNull) {
      parts.push_back("null");
    } else if (argument.kind == Callee::Argument::Kind::kAttr) {
      parts.push_back("k:" + callee.attrs[argument.index].first);
    } else {
      parts.push_back(absl::StrCat(argument.kind == Callee::Argument::Kind::kInput ? "a" : "r",
                                   argument.index));
    }
  }
  return absl::StrJoin(parts, " ");
}

void TestArguments() {
  const std::string attrs = R"("attrs": {"k": 1, "l": 2}, )";
  CHECK_EQ(ArgumentsOf(R"("memory_align": 64)", 2, 2), "a0 a1 r0 r1");
  CHECK_EQ(ArgumentsOf(attrs + R"("arg_spec": ["attrs.l", "args", "attrs.k", "rets"])", 1, 2),
           "k:l a0 k:k r0 r1");
  CHECK_EQ(ArgumentsOf(R"("arg_spec": ["rets.1", "args.1", "rets.0", "args.0"])", 2, 2),
           "r1 a1 r0 a0");
  CHECK_EQ(ArgumentsOf(R"("arg_spec": ["args"])", 2, 1), "a0 a1");
  CHECK_EQ(ArgumentsOf(R"("arg_spec": ["null", "args", "null", "rets"])", 1, 1), "null a0 null r0");
  CHECK_EQ(ArgumentsOf(R"("arg_spec": ["attrs.k", "args"])", 1, 1), "attr 'k' is missing");
  for (const char* entry : {"args.2", "args.-1", "args.x", "args.", "rets.1", "other", "null.0", "",
                            "args.99999999999999999999"}) {
    const std::string message =
        ArgumentsOf(absl::StrCat("\"arg_spec\": [\"rets\", \"", entry, "\"]"), 2, 1);
    CHECK(absl::StrContains(message, "the op has 2 inputs and 1 outputs")) << entry << message;
  }
}

void TestReturnsOutputs() {
  CHECK(ParseWith(R"("arg_spec": ["args"])").returns_outputs());
  CHECK(ParseWith(R"("arg_spec": [])").returns_outputs());
  CHECK(ParseWith(R"("arg_spec": ["attrs.rets"], "attrs": {"rets": 1})").returns_outputs());
  CHECK(!ParseWith(R"("arg_spec": ["args", "rets"])").returns_outputs());
  CHECK(!ParseWith(R"("arg_spec": ["rets.0", "args"])").returns_outputs());
}

void TestCheckTensors() {
  constexpr DLDataType kFloat = {kDLFloat, 32, 1};
  constexpr DLDataType kInt = {kDLInt, 32, 1};
  CHECK_OK(ParseWith(R"("memory_align": 64)").CheckTensors({kInt}, {}));
  const Callee callee =
      ParseWith(R"json("signature": "(x: float32[n], z: any[n]) -> (y: int32[n])")json");
  CHECK_EQ(callee.signature->inputs().size(), 2u);
  CHECK_OK(callee.CheckTensors({kFloat, kInt}, {kInt}));
  CHECK_OK(callee.CheckTensors({kFloat, kFloat}, {kInt}));
  struct {
    std::vector<DLDataType> inputs;
    std::vector<DLDataType> outputs;
    const char* expected;
  } const cases[] = {
      {{kFloat}, {kInt}, "expected 2 inputs, given 1; its signature is (x: float32[n], z"},
      {{kFloat, kInt, kInt}, {kInt}, "expected 2 inputs, given 3"},
      {{kFloat, kInt}, {}, "expected 1 outputs, given 0"},
      {{kInt, kInt}, {kInt}, "input 'x' has dtype int32, expected float32"},
      {{kFloat, kInt}, {kFloat}, "output 'y' has dtype float32, expected int32"},
  };
  for (const auto& test : cases) {
    absl::Status status = callee.CheckTensors(test.inputs, test.outputs);
    CHECK(absl::IsInvalidArgument(status));
    CHECK(absl::StrContains(status.message(), test.expected)) << status;
  }
}

void TestSmallAlignmentIsRaised() {
  CHECK_EQ(Callee::Parse(R"({"digest": "d", "function": "f", "memory_align": 1})")->memory_align,
           64);
}

void TestErrors() {
  const std::string deep(100000, '[');
  const std::string deep_attr = absl::StrCat(R"({"digest": "d", "function": "f", "attrs": {"k": )",
                                             std::string(63, '['), std::string(63, ']'), "}}");
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
      {R"({"digest": "d", "function": "f", "attrs": [1]})", "cannot be read"},
      {deep_attr.c_str(), "nested too deeply"},
      {R"({"digest": "d", "function": "f", "gradient": "g"})", "cannot be read"},
      {R"({"digest": "d", "function": "f", "arg_spec": "args"})", "cannot be read"},
      {R"({"digest": "d", "function": "f", "arg_spec": [1]})", "cannot be read"},
      {R"json({"digest": "d", "function": "f", "signature": "(x) -> ()"})json", "at character 3"},
      {R"({"digest": "d", "function": "f", "signature": 3})", "cannot be read"},
      {R"({"device": 3})", "cannot be read"},
      {R"({"device": ""})", "unknown TVM device ''; expected cuda, opencl, "},
      {R"({"device": "cpu"})", "unknown TVM device 'cpu'"},
      {R"({"device": "opencl:"})", "unknown TVM device"},
      {R"({"device": "opencl:-1"})", "unknown TVM device"},
      {R"({"device": "opencl:99999999999"})", "unknown TVM device"},
      {R"({"from_the_future": 1})", "unknown key 'from_the_future'"},
      {R"({"digest": "d", "function": "f", "in_place": [-1]})", "in_place has -1"},
      {R"({"digest": "d", "function": "f", "in_place": [4294967296]})", "in_place has 4294967296"},
      {R"({"digest": "d", "function": "f", "output_shapes": [[1e999]]})", "cannot be read"},
      {R"({"digest": "d", "function": "f", "output_shapes": [[Infinity]]})", "cannot be read"},
      {"{\"function\": \"\xff\"}", "it is not UTF-8; given: {\"function\": \"\\xff\"}"},
      {R"({"function": "\ud800"})", "cannot be read"},
      // Messages name the function and its library as soon as it is known which.
      {R"({"attrs": 1, "library_name": "a.so", "function": "f"})",
       "TVM function 'f' of library 'a.so': attribute 'callee'"},
      {R"({"function": "f", "library_name": 3})", "TVM function 'f' of library 'library': "},
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
  TestDevice();
  TestAttrs();
  TestArguments();
  TestReturnsOutputs();
  TestCheckTensors();
  TestSmallAlignmentIsRaised();
  TestErrors();
  return 0;
}
