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

#include <algorithm>
#include <limits>
#include <mutex>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "tensorflow_tvm/cc/runtime/text.h"
#include "tensorflow_tvm/cc/runtime/tvm_device.h"
#include "tvm/ffi/container/array.h"
#include "tvm/ffi/container/map.h"
#include "tvm/ffi/dtype.h"
#include "tvm/ffi/error.h"
#include "tvm/ffi/extra/json.h"

namespace tensorflow_tvm {
namespace {

namespace ffi = tvm::ffi;

/// TVM generates vector code for data at such addresses whatever its caller says.
constexpr int64_t kLeastAlignment = 64;
constexpr int64_t kLargestAlignment = 2 << 20;  // a huge page

absl::Status Check(const Callee& callee) {
  if (callee.digest.empty() || callee.function.empty()) {
    return absl::InvalidArgumentError(
        "attribute 'callee' of a TVM op must give \"digest\" and \"function\"");
  }
  const int64_t align = callee.memory_align;
  if (align <= 0 || align > kLargestAlignment || (align & (align - 1)) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("memory_align must be a power of two between 1 and ", kLargestAlignment,
                     " bytes, given ", align));
  }
  return absl::OkStatus();
}

// Gradients of gradients of gradients are as many objects within each other.
constexpr int kDeepestNesting = 64;

/// How deep brackets outside strings nest.
int NestingOf(absl::string_view json) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string && c == '\\') ++i;  // and what it escapes
    if (c == '"') in_string = !in_string;
    if (in_string) continue;
    if (c == '[' || c == '{') deepest = std::max(deepest, ++depth);
    if (c == ']' || c == '}') --depth;
  }
  return deepest;
}

/// The error that the attribute cannot be read, of a function if it is known which. `json` may be
/// anything.
absl::Status CannotRead(const Callee& callee, absl::string_view json, absl::string_view why) {
  const std::string whose = callee.function.empty()
                                ? ""
                                : absl::StrCat("TVM function '", callee.function, "' of library '",
                                               callee.library_name, "': ");
  return absl::InvalidArgumentError(
      Printable(absl::StrCat(whose, "attribute 'callee' of a TVM op cannot be read: ", why,
                             "; given: ", json.substr(0, 200))));
}

constexpr absl::string_view kInputs = "args";
constexpr absl::string_view kOutputs = "rets";
constexpr absl::string_view kAttrs = "attrs";
constexpr absl::string_view kNull = "null";

/// Reads what messages call the function, so that they can about the rest.
void ReadNames(const ffi::json::Object& object, Callee* callee) {
  for (const auto& [key, value] : object) {
    const auto text = value.as<ffi::String>();
    if (!text.has_value()) continue;
    if (key.cast<ffi::String>() == "function") callee->function = *text;
    if (key.cast<ffi::String>() == "library_name") callee->library_name = *text;
  }
}

void Read(const ffi::json::Object& object, Callee* callee) {
  for (const auto& [key_any, value] : object) {
    const std::string key = key_any.cast<ffi::String>();
    if (key == "digest") {
      callee->digest = absl::AsciiStrToLower(std::string(value.cast<ffi::String>()));
    } else if (key == "function") {
      callee->function = value.cast<ffi::String>();
    } else if (key == "library_name") {
      callee->library_name = value.cast<ffi::String>();
    } else if (key == "memory_align") {
      callee->memory_align = value.cast<int64_t>();
    } else if (key == "device") {
      absl::StatusOr<DLDevice> device = TvmDeviceFromName(std::string(value.cast<ffi::String>()));
      if (!device.ok()) TVM_FFI_THROW(ValueError) << std::string(device.status().message());
      callee->device = *device;
    } else if (key == "output_shapes") {
      for (const ffi::Any& shape : value.cast<ffi::json::Array>()) {
        std::vector<int64_t>& dims = callee->output_shapes.emplace_back();
        for (const ffi::Any& dim : shape.cast<ffi::json::Array>()) {
          dims.push_back(dim.cast<int64_t>());
        }
      }
    } else if (key == "signature") {
      absl::StatusOr<Signature> signature =
          Signature::Parse(std::string(value.cast<ffi::String>()));
      if (!signature.ok()) {
        TVM_FFI_THROW(ValueError) << std::string(signature.status().message());
      }
      callee->signature = *std::move(signature);
    } else if (key == "arg_spec") {
      callee->arg_spec.emplace();
      for (const ffi::Any& argument : value.cast<ffi::json::Array>()) {
        callee->arg_spec->push_back(argument.cast<ffi::String>());
      }
    } else if (key == "in_place") {
      for (const ffi::Any& input : value.cast<ffi::json::Array>()) {
        const int64_t index = input.cast<int64_t>();
        if (index < 0 || index > std::numeric_limits<int>::max()) {
          TVM_FFI_THROW(ValueError) << "in_place has " << index << ", which is no input";
        }
        callee->in_place.push_back(static_cast<int>(index));
      }
    } else if (key == "owned_tensors") {
      callee->owned_tensors = value.cast<bool>();
    } else if (key == "attrs") {
      for (const auto& [name, attr] : value.cast<ffi::json::Object>()) {
        callee->attrs.emplace_back(name.cast<ffi::String>(), attr);
      }
    } else if (key == "gradient") {
      value.cast<ffi::json::Object>();  // for whoever differentiates the graph; calls need it not
    } else {
      TVM_FFI_THROW(ValueError) << "unknown key '" << key
                                << "'; a newer tensorflow_tvm made this graph, install that one";
    }
  }
}

absl::Status CheckCount(absl::string_view role, size_t expected, size_t given,
                        const Signature& signature) {
  if (expected == given) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("expected ", expected, " ", role, ", given ",
                                                 given, "; its signature is ", signature.text()));
}

absl::Status CheckDtypes(absl::string_view role, const std::vector<TensorSpec>& expected,
                         absl::Span<const DLDataType> given, const Signature& signature) {
  for (size_t i = 0; i < given.size(); ++i) {
    const DLDataType dtype = expected[i].dtype;
    if (expected[i].any_dtype || (dtype.code == given[i].code && dtype.bits == given[i].bits &&
                                  dtype.lanes == given[i].lanes)) {
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat(
        role, " '", expected[i].name, "' has dtype ",
        std::string(ffi::DLDataTypeToString(given[i])), ", expected ",
        std::string(ffi::DLDataTypeToString(dtype)), "; its signature is ", signature.text()));
  }
  return absl::OkStatus();
}

}  // namespace

bool Callee::returns_outputs() const {
  return arg_spec.has_value() &&
         std::none_of(arg_spec->begin(), arg_spec->end(), [](const std::string& entry) {
           return entry == kOutputs || absl::StartsWith(entry, absl::StrCat(kOutputs, "."));
         });
}

absl::StatusOr<std::vector<Callee::Argument>> Callee::Arguments(int inputs, int outputs) const {
  std::vector<Argument> arguments;
  const auto add_all = [&arguments](Argument::Kind kind, int count) {
    for (int i = 0; i < count; ++i) arguments.push_back({kind, i});
  };
  const auto add_attr = [&arguments, this](absl::string_view name) -> absl::Status {
    for (size_t i = 0; i < attrs.size(); ++i) {
      if (attrs[i].first != name) continue;
      arguments.push_back({Argument::Kind::kAttr, static_cast<int>(i)});
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat("attr '", name, "' is missing"));
  };
  if (!arg_spec.has_value()) {
    add_all(Argument::Kind::kInput, inputs);
    add_all(Argument::Kind::kOutput, outputs);
    return arguments;
  }
  for (const std::string& entry : *arg_spec) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(absl::string_view(entry), absl::MaxSplits('.', 1));
    const bool is_input = parts.first == kInputs;
    const Argument::Kind kind = is_input ? Argument::Kind::kInput : Argument::Kind::kOutput;
    const int count = is_input ? inputs : outputs;
    int index = 0;
    if (entry == kInputs || entry == kOutputs) {
      add_all(kind, count);
    } else if (entry == kNull) {
      arguments.push_back({Argument::Kind::kNull, 0});
    } else if (parts.first == kAttrs) {
      if (absl::Status s = add_attr(parts.second); !s.ok()) return s;
    } else if ((is_input || parts.first == kOutputs) && absl::SimpleAtoi(parts.second, &index) &&
               index >= 0 && index < count) {
      arguments.push_back({kind, index});
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("arg_spec has \"", entry, "\", and the op has ", inputs, " inputs and ",
                       outputs, " outputs; expected \"args\" or \"args.<index>\", \"rets\" or ",
                       "\"rets.<index>\", \"attrs.<name>\", \"null\""));
    }
  }
  // An output that is passed to nobody would be memory that nobody has written to.
  std::vector<int> passed(outputs);
  for (const Argument& argument : arguments) {
    if (argument.kind == Argument::Kind::kOutput) ++passed[argument.index];
  }
  const bool once = std::all_of(passed.begin(), passed.end(), [](int count) { return count == 1; });
  if (!once && !returns_outputs()) {
    return absl::InvalidArgumentError(absl::StrCat("arg_spec must have each of the ", outputs,
                                                   " outputs once, or none, given [",
                                                   absl::StrJoin(*arg_spec, ", "), "]"));
  }
  return arguments;
}

absl::Status Callee::CheckTensors(absl::Span<const DLDataType> inputs,
                                  absl::Span<const DLDataType> outputs) const {
  if (!signature.has_value()) return absl::OkStatus();
  for (const absl::Status& status :
       {CheckCount("inputs", signature->inputs().size(), inputs.size(), *signature),
        CheckCount("outputs", signature->outputs().size(), outputs.size(), *signature)}) {
    if (!status.ok()) return status;
  }
  absl::Status status = CheckDtypes("input", signature->inputs(), inputs, *signature);
  return status.ok() ? CheckDtypes("output", signature->outputs(), outputs, *signature) : status;
}

absl::StatusOr<Callee> Callee::Parse(const std::string& json) {
  Callee callee;
  if (NestingOf(json) > kDeepestNesting) {  // the parser is recursive
    return CannotRead(callee, json, "it is nested too deeply");
  }
  // Names in it become parts of messages, which Python decodes.
  if (!IsUtf8(json)) return CannotRead(callee, json, "it is not UTF-8");
  try {
    const auto object = ffi::json::Parse(json).cast<ffi::json::Object>();
    ReadNames(object, &callee);
    Read(object, &callee);
  } catch (const ffi::Error& error) {
    return CannotRead(callee, json, error.message());
  } catch (const std::exception& error) {
    return CannotRead(callee, json, error.what());
  }
  if (absl::Status s = Check(callee); !s.ok()) return s;
  if (callee.memory_align < kLeastAlignment) callee.memory_align = kLeastAlignment;
  return callee;
}

absl::StatusOr<std::shared_ptr<const Callee>> Callee::Get(const std::string& json) {
  constexpr size_t kMost = 256;
  static std::mutex* const mutex = new std::mutex();
  static auto* const known = new absl::flat_hash_map<std::string, std::shared_ptr<const Callee>>();
  {
    std::lock_guard<std::mutex> lock(*mutex);
    auto it = known->find(json);
    if (it != known->end()) return it->second;
  }
  absl::StatusOr<Callee> parsed = Parse(json);
  if (!parsed.ok()) return parsed.status();
  auto callee = std::make_shared<const Callee>(*std::move(parsed));
  std::lock_guard<std::mutex> lock(*mutex);
  if (known->size() >= kMost) known->clear();
  known->emplace(json, callee);
  return callee;
}

}  // namespace tensorflow_tvm
