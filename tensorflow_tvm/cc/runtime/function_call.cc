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

#include "tensorflow_tvm/cc/runtime/function_call.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <utility>

#include "absl/container/fixed_array.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tensorflow_tvm/cc/runtime/dims.h"
#include "tensorflow_tvm/cc/runtime/text.h"
#include "tensorflow_tvm/cc/runtime/tvm_device.h"
#include "tvm/ffi/container/array.h"
#include "tvm/ffi/dtype.h"
#include "tvm/ffi/error.h"
#include "tvm/ffi/extra/json.h"

namespace tensorflow_tvm {

namespace ffi = tvm::ffi;

alignas(4096) char no_data[4096];

namespace {

/// An attr's value for a message, which has no room for long lists.
std::string Shortened(std::string value) {
  constexpr size_t kMost = 80;
  if (value.size() > kMost) value.replace(kMost, std::string::npos, "…");
  return value;
}

/// The tensors' types and shapes as TVM writes them, "(float32[2,3], int64[])".
std::string Describe(absl::Span<const DLTensor> tensors) {
  const auto describe = [](std::string* out, const DLTensor& tensor) {
    absl::StrAppend(out, std::string(ffi::DLDataTypeToString(tensor.dtype)),
                    DimsToString(absl::MakeConstSpan(tensor.shape, tensor.ndim)));
  };
  return absl::StrCat("(", absl::StrJoin(tensors, ", ", describe), ")");
}

absl::StatusCode CodeOfErrorKind(absl::string_view kind) {
  if (kind == "ValueError" || kind == "TypeError" || kind == "AssertionError") {
    return absl::StatusCode::kInvalidArgument;
  }
  if (kind == "IndexError") return absl::StatusCode::kOutOfRange;
  if (kind == "KeyError" || kind == "AttributeError") return absl::StatusCode::kNotFound;
  if (kind == "NotImplementedError") return absl::StatusCode::kUnimplemented;
  if (kind == "MemoryError") return absl::StatusCode::kResourceExhausted;
  return absl::StatusCode::kInternal;
}

}  // namespace

absl::Status FunctionCall::Init(const std::string& callee) {
  absl::StatusOr<std::shared_ptr<const Callee>> parsed = Callee::Get(callee);
  if (!parsed.ok()) return parsed.status();
  callee_ = *std::move(parsed);
  returns_outputs_ = callee_->returns_outputs();
  owned_tensors_ = callee_->owned_tensors || returns_outputs_;
  if (callee_->signature.has_value()) signature_ = &*callee_->signature;
  return absl::OkStatus();
}

absl::Status FunctionCall::SetDtypes(absl::Span<const DLDataType> inputs,
                                     absl::Span<const DLDataType> outputs) {
  input_dtypes_.assign(inputs.begin(), inputs.end());
  output_dtypes_.assign(outputs.begin(), outputs.end());
  if (absl::Status s = callee_->CheckTensors(inputs, outputs); !s.ok()) return Named(s);
  absl::StatusOr<std::vector<Callee::Argument>> arguments =
      callee_->Arguments(static_cast<int>(inputs.size()), static_cast<int>(outputs.size()));
  if (!arguments.ok()) return Named(arguments.status());
  arguments_.assign(arguments->begin(), arguments->end());
  return absl::OkStatus();
}

std::string FunctionCall::Name() const {
  return absl::StrCat("TVM function '", callee_->function, "' of library '", callee_->library_name,
                      "'");
}

absl::Status FunctionCall::Named(const absl::Status& status) const {
  if (ABSL_PREDICT_TRUE(status.ok())) return status;
  return absl::Status(status.code(), absl::StrCat(Name(), ": ", status.message()));
}

absl::Status FunctionCall::Resolve(DLDeviceType device, const BytesReader* bytes,
                                   LibraryFunction* result, LibraryPtr* owner) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Resolved* current = resolved_.load(std::memory_order_acquire);
  if (current != nullptr && current->Acquire(owner)) {  // another thread was faster
    *result = current->function;
    return absl::OkStatus();
  }
  LibraryPtr library = LibraryRegistry::Global()->Find(callee_->digest);
  if (library == nullptr) {
    if (bytes == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat(Name(), ": no library with digest ", callee_->digest,
                       " is loaded in this process; keep its tensorflow_tvm.Module alive, or if "
                       "this is a worker that was started anew, connect to it again"));
    }
    absl::StatusOr<absl::string_view> read = (*bytes)();
    if (!read.ok()) return Named(read.status());
    absl::StatusOr<LibraryPtr> loaded =
        LibraryRegistry::Global()->Load(*read, callee_->library_name, callee_->digest);
    if (!loaded.ok()) return loaded.status();
    library = *std::move(loaded);
  }
  absl::StatusOr<LibraryFunction> function = library->GetFunction(callee_->function, device);
  if (!function.ok()) {
    return absl::Status(
        function.status().code(),
        absl::StrCat("Library '", callee_->library_name, "' ", function.status().message(), "."));
  }
  // What another thread may still be reading stays; there is one for each time that a library
  // without owners was dropped and loaded again.
  Resolved* resolved = &first_;
  if (current != nullptr) resolved = later_.emplace_back(std::make_unique<Resolved>()).get();
  resolved->function = *function;
  resolved->weak = WeakLibraryPtr(library);
  if (bytes != nullptr) resolved->strong = library;
  *owner = std::move(library);
  *result = *function;
  resolved_.store(resolved, std::memory_order_release);
  return absl::OkStatus();
}

absl::Status FunctionCall::BindInputs(absl::Span<const DLTensor> inputs,
                                      SymbolValues* symbols) const {
  const auto dims = [&](size_t i) { return absl::MakeConstSpan(inputs[i].shape, inputs[i].ndim); };
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (absl::Status s = symbols->BindInput(i, dims(i)); !s.ok()) return Named(s);
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (absl::Status s = symbols->CheckInput(i, dims(i)); !s.ok()) return Named(s);
  }
  return absl::OkStatus();
}

absl::Status FunctionCall::OutputDims(int i, const SymbolValues& symbols, Dims* dims) const {
  const TensorSpec& spec = *SpecOf(i);
  for (const Dimension& dimension : spec.dims) {
    absl::StatusOr<int64_t> size = symbols.Evaluate(dimension, spec);
    if (!size.ok()) return Named(size.status());
    if (*size < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          Name(), ": the signature does not say dimension ", dims->size(), " of output '",
          spec.name, "'; only a function that returns its outputs can leave that open"));
    }
    dims->push_back(*size);
  }
  return absl::OkStatus();
}

absl::Status FunctionCall::CheckShape(absl::Span<const int64_t> dims, absl::string_view role,
                                      int index) const {
  const DLDataType dtype = (role == "input" ? input_dtypes_ : output_dtypes_)[index];
  absl::Status status = CheckDims(dims, dtype.bits);
  if (ABSL_PREDICT_TRUE(status.ok())) return status;
  return absl::InvalidArgumentError(absl::StrCat(Name(), ": ", role, " ", index,
                                                 " cannot have shape ", DimsToString(dims), ": ",
                                                 status.message()));
}

absl::Status FunctionCall::CheckSize(absl::Span<const int64_t> dims, absl::string_view role,
                                     int index) const {
  if (absl::Status s = CheckShape(dims, role, index); !s.ok()) return s;
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  int64_t elements = 1;
  bool fits = true;
  for (int64_t dim : dims) {
    fits = fits && dim <= kMost && !__builtin_mul_overflow(elements, dim, &elements);
  }
  if (ABSL_PREDICT_TRUE(fits && elements <= kMost)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(Name(), ": ", role, " ", index, " has shape ", DimsToString(dims),
                   "; TVM functions count elements in 32 bits, so that at most ", kMost,
                   " are allowed. Split the tensor and call the function on the parts"));
}

absl::Status FunctionCall::Invoke(const LibraryFunction& function, CallContext* context,
                                  absl::Span<DLTensor> inputs, absl::Span<DLTensor> outputs,
                                  ffi::Any* result) const {
  std::vector<ffi::Tensor> owned;
  absl::FixedArray<TVMFFIAny, 12> arguments(arguments_.size());
  for (size_t i = 0; i < arguments_.size(); ++i) {
    const Callee::Argument& argument = arguments_[i];
    if (argument.kind == Callee::Argument::Kind::kAttr) {
      arguments[i] = ffi::AnyView(callee_->attrs[argument.index].second).CopyToTVMFFIAny();
      continue;
    }
    if (argument.kind == Callee::Argument::Kind::kNull) {
      arguments[i] = ffi::AnyView(nullptr).CopyToTVMFFIAny();
      continue;
    }
    const bool is_input = argument.kind == Callee::Argument::Kind::kInput;
    DLTensor* view = &(is_input ? inputs : outputs)[argument.index];
    if (ABSL_PREDICT_FALSE(owned_tensors_)) {
      absl::StatusOr<ffi::Tensor> tensor = context->MakeOwned(*view, is_input, argument.index);
      if (!tensor.ok()) return Named(tensor.status());
      owned.push_back(*std::move(tensor));
      arguments[i] = ffi::AnyView(owned.back()).CopyToTVMFFIAny();
      continue;
    }
    arguments[i].type_index = kTVMFFIDLTensorPtr;
    arguments[i].zero_padding = 0;
    arguments[i].v_ptr = view;
  }
  CallScope scope(context, function.may_allocate_tensors || owned_tensors_);
  TVMFFIAny raw;
  raw.type_index = kTVMFFINone;
  raw.zero_padding = 0;
  raw.v_int64 = 0;
  int code = -1;
  try {
    code = function.call(function.self, arguments.data(), static_cast<int>(arguments.size()), &raw);
  } catch (const std::exception& error) {  // against tvm-ffi's rules, and fatal to TensorFlow
    return absl::InternalError(
        absl::StrCat(Name(), " threw an exception: ", Printable(error.what())));
  } catch (...) {
    return absl::InternalError(absl::StrCat(Name(), " threw an exception"));
  }
  ffi::ObjectPtr<ffi::Object> error = scope.TakeError();
  if (ABSL_PREDICT_FALSE(code != 0 || error != nullptr)) {
    ffi::ObjectPtr<ffi::Object> raised = TakeRaisedError();
    return CallError(context, inputs, outputs, error != nullptr ? error : raised);
  }
  *result = ffi::details::AnyUnsafe::MoveTVMFFIAnyToAny(&raw);
  if (ABSL_PREDICT_FALSE(!returns_outputs_ &&
                         result->type_index() >= ffi::TypeIndex::kTVMFFIStaticObjectBegin)) {
    return absl::InvalidArgumentError(absl::StrCat(
        Name(), " returned an object; expected a function that fills the outputs passed to it. ",
        "If it returns its outputs, say so: arg_spec=[\"args\"]"));
  }
  return absl::OkStatus();
}

absl::Status FunctionCall::TakeReturned(ffi::Any result, DLDevice device,
                                        const SymbolValues* symbols,
                                        std::vector<ffi::Tensor>* tensors) const {
  // By type index: Any::as() takes None for a reference that is null.
  if (result.type_index() == ffi::TypeIndex::kTVMFFITensor) {
    tensors->push_back(result.cast<ffi::Tensor>());
  } else if (result.type_index() == ffi::TypeIndex::kTVMFFIArray) {
    const auto array = result.cast<ffi::Array<ffi::Any>>();
    for (const ffi::Any& element : array) {
      if (element.type_index() != ffi::TypeIndex::kTVMFFITensor) break;
      tensors->push_back(element.cast<ffi::Tensor>());
    }
    if (tensors->size() != array.size()) tensors->clear();
  }
  const size_t outputs = output_dtypes_.size();
  if (tensors->size() != outputs) {
    const std::string what = tensors->empty()
                                 ? absl::StrCat("a value of type ", result.GetTypeKey())
                                 : absl::StrCat(tensors->size(), " tensors");
    return absl::InvalidArgumentError(absl::StrCat(
        Name(), " returned ", what, "; expected ", outputs, outputs == 1 ? " tensor" : " tensors",
        ". If it fills outputs that are passed to it, arg_spec must have \"rets\""));
  }
  for (size_t i = 0; i < outputs; ++i) {
    absl::Status status = CheckReturned(static_cast<int>(i), (*tensors)[i], device, symbols);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status FunctionCall::RefuseReturned(int output, absl::string_view what) const {
  return absl::InvalidArgumentError(
      absl::StrCat(Name(), ": the tensor returned as output ", output, " ", what));
}

absl::Status FunctionCall::CheckReturned(int output, const ffi::Tensor& tensor, DLDevice device,
                                         const SymbolValues* symbols) const {
  const DLDataType dtype = output_dtypes_[output];
  if (tensor.dtype().code != dtype.code || tensor.dtype().bits != dtype.bits ||
      tensor.dtype().lanes != dtype.lanes) {
    return RefuseReturned(
        output, absl::StrCat("has dtype ", std::string(ffi::DLDataTypeToString(tensor.dtype())),
                             "; expected ", std::string(ffi::DLDataTypeToString(dtype)),
                             ", as output_dtype or the signature says"));
  }
  if (tensor.device().device_type != device.device_type ||
      tensor.device().device_id != device.device_id) {
    return RefuseReturned(
        output, absl::StrCat("is on device ", tensor.device().device_type, ":",
                             tensor.device().device_id, "; expected device ", device.device_type,
                             ":", device.device_id, ", where the op runs"));
  }
  if (!tensor.IsContiguous()) return RefuseReturned(output, "has gaps; expected contiguous memory");
  const absl::Span<const int64_t> dims(tensor.shape().data(), tensor.shape().size());
  if (const TensorSpec* spec = SpecOf(output)) {
    bool fits = dims.size() == spec->dims.size();
    for (size_t i = 0; fits && i < dims.size(); ++i) {
      absl::StatusOr<int64_t> size = symbols->Evaluate(spec->dims[i], *spec);
      if (!size.ok()) return Named(size.status());
      fits = *size < 0 || *size == dims[i];
    }
    if (!fits) {
      return RefuseReturned(output, absl::StrCat("has shape ", DimsToString(dims), "; expected ",
                                                 spec->text, " (", symbols->ToString(), ")"));
    }
  }
  const bool empty = std::find(dims.begin(), dims.end(), 0) != dims.end();
  if (tensor.data_ptr() == nullptr && !empty) return RefuseReturned(output, "has no memory");
  return absl::OkStatus();
}

absl::Status FunctionCall::CallError(CallContext* context, absl::Span<const DLTensor> inputs,
                                     absl::Span<const DLTensor> outputs,
                                     const ffi::ObjectPtr<ffi::Object>& error) const {
  std::string kind = "Error";
  std::string message = "the function failed without saying why";
  if (error != nullptr && error->IsInstance<ffi::ErrorObj>()) {
    const auto* details = static_cast<const ffi::ErrorObj*>(error.get());
    kind = Printable({details->kind.data, details->kind.size});
    message = Printable({details->message.data, details->message.size});
  }
  absl::StatusCode status_code = CodeOfErrorKind(kind);
  if (absl::StrContains(message, "Cannot find function") && !IsTvmRuntimeLoaded()) {
    status_code = absl::StatusCode::kFailedPrecondition;
    absl::StrAppend(&message,
                    " The TVM runtime, which may have it, is not installed: pip install "
                    "'tensorflow_tvm[compiler]'. Without Python, put it beside the op library.");
  }
  if (absl::StrContains(message, "Expected `ffi.Tensor` but got `DLTensor*`")) {
    absl::StrAppend(&message,
                    ". Take ffi::TensorView, or compile the library with "
                    "-DTVM_FFI_DLL_EXPORT_INCLUDE_METADATA=1, so that it says what it "
                    "takes");
  }
  const bool wrong_number = absl::StrContains(message, "Mismatched number of arguments");
  std::string said_of_outputs;
  if (returns_outputs_) {
    if (wrong_number) {
      absl::StrAppend(&message,
                      " If it fills outputs that are passed to it, arg_spec must have \"rets\".");
    }
  } else {
    said_of_outputs = absl::StrCat(" and outputs ", Describe(outputs));
    if (signature_ == nullptr) {
      absl::StrAppend(&said_of_outputs, ", which are what output_shape and output_dtype say");
      if (wrong_number) {
        absl::StrAppend(&message, " If it returns its outputs, say so: arg_spec=[\"args\"].");
      }
    }
  }
  std::string attrs;
  for (const auto& [attr, value] : callee_->attrs) {
    absl::StrAppend(&attrs, ", ", attr, "=", Shortened(ffi::json::Stringify(value)));
  }
  return absl::Status(
      status_code,
      absl::StrCat(Name(), " failed: ", kind, ": ", message, "\nIt was called on ",
                   callee_->device.has_value() ? TvmDeviceName(*callee_->device) + " by " : "",
                   context->Place(), " with inputs ", Describe(inputs), said_of_outputs, attrs,
                   "."));
}

}  // namespace tensorflow_tvm
