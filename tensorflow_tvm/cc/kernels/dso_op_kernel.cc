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

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "dlpack/dlpack.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/platform/logging.h"
#include "tensorflow_tvm/cc/kernels/gpu_stream.h"
#include "tensorflow_tvm/cc/kernels/managed_tensor.h"
#include "tensorflow_tvm/cc/kernels/op_call_context.h"
#include "tensorflow_tvm/cc/kernels/tensor_views.h"
#include "tensorflow_tvm/cc/kernels/tvm_device_call.h"
#include "tensorflow_tvm/cc/runtime/call_scope.h"
#include "tensorflow_tvm/cc/runtime/callee.h"
#include "tensorflow_tvm/cc/runtime/dlpack_bridge.h"
#include "tensorflow_tvm/cc/runtime/library.h"
#include "tensorflow_tvm/cc/runtime/signature.h"
#include "tensorflow_tvm/cc/runtime/stats.h"
#include "tensorflow_tvm/cc/runtime/stream_scope.h"
#include "tensorflow_tvm/cc/runtime/tvm_device.h"
#include "tvm/ffi/container/array.h"
#include "tvm/ffi/container/tensor.h"
#include "tvm/ffi/dtype.h"
#include "tvm/ffi/error.h"
#include "tvm/ffi/extra/json.h"
#include "xla/stream_executor/stream.h"

namespace tensorflow_tvm {
namespace {

namespace ffi = tvm::ffi;

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

/// Where the data of a zero-size tensor is said to be: generated code refuses null.
alignas(4096) char no_data[4096];

/// An attr's value for a message, which has no room for long lists.
std::string Shortened(std::string value) {
  constexpr size_t kMost = 80;
  if (value.size() > kMost) value.replace(kMost, std::string::npos, "…");
  return value;
}

/// A tensor's type and shape as TVM writes them, "float32[2,3]".
std::string Describe(const Tensor& tensor, DLDataType dtype) {
  return absl::StrCat(std::string(tvm::ffi::DLDataTypeToString(dtype)),
                      tensor.shape().DebugString());
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

/// The kernel of TVM>DSOOp and TVM>StatefulDSOOp, on CPU and GPU.
class DSOOp : public tensorflow::OpKernel {
 public:
  explicit DSOOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    std::string json;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("callee", &json));
    absl::StatusOr<Callee> callee = Callee::Parse(json);
    OP_REQUIRES_OK(ctx, callee.status());
    callee_ = *std::move(callee);
    memory_align_ = callee_.memory_align;
    const bool on_gpu = ctx->device_type() == tensorflow::DEVICE_GPU;
    if (on_gpu) device_type_ = kDLCUDA;
    if (callee_.device.has_value()) {
      OP_REQUIRES(ctx, !on_gpu,
                  absl::InvalidArgumentError(absl::StrCat(
                      Name(), " is to run on TVM's device ", TvmDeviceName(*callee_.device),
                      ", which the CPU's op does; this one was placed on a GPU. Place it on a "
                      "CPU, as target_device does")));
      device_type_ = callee_.device->device_type;
      on_tvm_device_ = true;
    }
    OP_REQUIRES_OK(ctx, ReadDtypes(ctx, "Tin", "input", &input_dtypes_));
    OP_REQUIRES_OK(ctx, ReadDtypes(ctx, "Tout", "output", &output_dtypes_));
    int library_count = 0;
    int shape_count = 0;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("NL", &library_count));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("NS", &shape_count));
    const int inputs = static_cast<int>(input_dtypes_.size());
    OP_REQUIRES_OK(ctx, Named(callee_.CheckTensors(input_dtypes_, output_dtypes_)));
    absl::StatusOr<std::vector<Callee::Argument>> arguments =
        callee_.Arguments(inputs, static_cast<int>(output_dtypes_.size()));
    OP_REQUIRES_OK(ctx, Named(arguments.status()));
    arguments_.assign(arguments->begin(), arguments->end());
    returns_outputs_ = callee_.returns_outputs();
    owned_tensors_ = callee_.owned_tensors || returns_outputs_;
    has_signature_ = callee_.signature.has_value();
    if (has_signature_) {
      for (const TensorSpec& output : callee_.signature->outputs()) {
        like_input_.push_back(InputLike(output, *callee_.signature));
      }
    }
    // The first one is the function's; the others are those of its gradients.
    if (library_count > 0) library_index_ = inputs;
    if (shape_count > 0) shapes_index_ = inputs + library_count;

    static_shapes_.resize(callee_.output_shapes.size());
    for (size_t i = 0; i < static_shapes_.size(); ++i) {
      OP_REQUIRES_OK(ctx, MakeShape(callee_.output_shapes[i], i, &static_shapes_[i]));
    }
    const size_t outputs = output_dtypes_.size();
    const size_t shapes = shape_count > 0 ? shape_count : static_shapes_.size();
    OP_REQUIRES(ctx, shapes == 0 || shapes == outputs,
                absl::InvalidArgumentError(absl::StrCat(Name(), ": expected ", outputs,
                                                        " output shapes, given ", shapes)));
    if (shapes > 0 || inputs > 0 || returns_outputs_) return;
    for (size_t i = 0; i < outputs; ++i) {
      OP_REQUIRES(ctx, SpecOf(i) != nullptr,
                  absl::InvalidArgumentError(absl::StrCat(
                      Name(), " has no inputs to take the output shape from; give output_shape")));
    }
  }

  void Compute(OpKernelContext* ctx) override {
    LibraryPtr owner;
    const Resolved* resolved = resolved_.load(std::memory_order_acquire);
    if (resolved == nullptr || !resolved->Acquire(&owner)) {
      OP_REQUIRES_OK(ctx, Resolve(ctx, &resolved, &owner));
    }
    if (TF_PREDICT_FALSE(on_tvm_device_)) {
      OP_REQUIRES_OK(ctx, CallOnTvmDevice(ctx, resolved->function));
      return;
    }
    if (ctx->op_device_context() == nullptr || ctx->op_device_context()->stream() == nullptr) {
      OpCallContext context(ctx, DLDevice{kDLCPU, 0});
      OP_REQUIRES_OK(ctx, Call(ctx, resolved->function, Place{DLDevice{kDLCPU, 0}}, &context));
      return;
    }
    stream_executor::Stream* stream = ctx->op_device_context()->stream();
    absl::StatusOr<GpuStream> gpu = StreamOf(ctx);
    OP_REQUIRES_OK(ctx, gpu.status());
    StreamScope scope(gpu->device, gpu->handle);
    OpCallContext context(ctx, gpu->device);
    OP_REQUIRES_OK(ctx, Call(ctx, resolved->function, Place{gpu->device, stream}, &context));
  }

 private:
  /// Where a function is called.
  struct Place {
    DLDevice device;
    stream_executor::Stream* stream = nullptr;  ///< where it is a GPU of TensorFlow's
    TvmDeviceCall* copies = nullptr;            ///< where it is no device of TensorFlow's
  };

  /// The function to call. Immutable once published.
  struct Resolved {
    LibraryFunction function;
    WeakLibraryPtr weak;
    LibraryPtr strong;  ///< null where the library has other owners (no `library` input)

    /// Makes sure that the library stays until `owner` goes; false if it is gone.
    bool Acquire(LibraryPtr* owner) const {
      if (strong != nullptr) return true;
      *owner = weak.lock();
      return *owner != nullptr;
    }
  };

  /// What messages call the function.
  std::string Name() const {
    return absl::StrCat("TVM function '", callee_.function, "' of library '", callee_.library_name,
                        "'");
  }

  /// `status`, said of the function.
  absl::Status Named(const absl::Status& status) const {
    if (TF_PREDICT_TRUE(status.ok())) return status;
    return absl::Status(status.code(), absl::StrCat(Name(), ": ", status.message()));
  }

  /// The first input whose shape is always that of `output`, as most have one; -1 if there is none.
  static int InputLike(const TensorSpec& output, const Signature& signature) {
    const auto same = [](const Dimension& a, const Dimension& b) {
      return a.kind == b.kind && a.value == b.value && a.kind != Dimension::Kind::kExpression &&
             a.kind != Dimension::Kind::kUnknown;
    };
    for (size_t i = 0; i < signature.inputs().size(); ++i) {
      const TensorSpec& input = signature.inputs()[i];
      if (!output.any_shape && !input.any_shape &&
          std::equal(input.dims.begin(), input.dims.end(), output.dims.begin(), output.dims.end(),
                     same)) {
        return static_cast<int>(i);
      }
    }
    return -1;
  }

  /// What the signature says of the shape of output `i`; null if nothing.
  const TensorSpec* SpecOf(size_t i) const {
    if (!has_signature_ || callee_.signature->outputs()[i].any_shape) return nullptr;
    return &callee_.signature->outputs()[i];
  }

  absl::Status ReadDtypes(OpKernelConstruction* ctx, const char* attr, const char* role,
                          absl::InlinedVector<DLDataType, 4>* result) {
    std::vector<tensorflow::DataType> dtypes;
    TF_RETURN_IF_ERROR(ctx->GetAttr(attr, &dtypes));
    for (size_t i = 0; i < dtypes.size(); ++i) {
      absl::StatusOr<DLDataType> dtype = ToDLDataType(dtypes[i]);
      if (!dtype.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat(Name(), ": ", role, " ", i, ": ", dtype.status().message(), "."));
      }
      result->push_back(*dtype);
    }
    return absl::OkStatus();
  }

  absl::Status Resolve(OpKernelContext* ctx, const Resolved** result, LibraryPtr* owner) {
    std::lock_guard<std::mutex> lock(mutex_);
    const Resolved* current = resolved_.load(std::memory_order_acquire);
    if (current != nullptr && current->Acquire(owner)) {  // another thread was faster
      *result = current;
      return absl::OkStatus();
    }
    LibraryPtr library = LibraryRegistry::Global()->Find(callee_.digest);
    if (library == nullptr) {
      if (library_index_ < 0) {
        return absl::FailedPreconditionError(
            absl::StrCat(Name(), ": no library with digest ", callee_.digest,
                         " is loaded in this process; keep its tensorflow_tvm.Module alive"));
      }
      const Tensor& bytes = ctx->input(library_index_);
      absl::StatusOr<LibraryPtr> loaded = LibraryRegistry::Global()->Load(
          bytes.tensor_data(), callee_.library_name, callee_.digest);
      if (!loaded.ok()) return loaded.status();
      library = *std::move(loaded);
    }
    absl::StatusOr<LibraryFunction> function = library->GetFunction(callee_.function, device_type_);
    if (!function.ok()) {
      return absl::Status(
          function.status().code(),
          absl::StrCat("Library '", callee_.library_name, "' ", function.status().message(), "."));
    }
    // What another thread may still be reading stays; there is one for each time that a library
    // without owners was dropped and loaded again.
    Resolved* resolved = &first_;
    if (current != nullptr) resolved = later_.emplace_back(std::make_unique<Resolved>()).get();
    resolved->function = *function;
    resolved->weak = WeakLibraryPtr(library);
    if (library_index_ >= 0) resolved->strong = library;
    *owner = std::move(library);
    *result = resolved;
    resolved_.store(resolved, std::memory_order_release);
    return absl::OkStatus();
  }

  /// Whether the caller says what shapes the outputs have.
  bool shapes_are_given() const { return shapes_index_ >= 0 || !static_shapes_.empty(); }

  absl::Status GivenShape(OpKernelContext* ctx, int output, TensorShape* shape) const {
    if (shapes_index_ < 0) {
      *shape = static_shapes_[output];
      return absl::OkStatus();
    }
    const Tensor& given = ctx->input(shapes_index_ + output);
    if (given.dims() != 1) {
      return absl::InvalidArgumentError(absl::StrCat(Name(), ": the shape of output ", output,
                                                     " must be a vector, given a tensor of shape ",
                                                     given.shape().DebugString()));
    }
    // Read as bytes: Tensor::flat() ends the process on memory that is not aligned.
    const char* data = given.tensor_data().data();
    absl::InlinedVector<int64_t, 8> dims(given.NumElements());
    for (size_t i = 0; i < dims.size(); ++i) {
      if (given.dtype() == tensorflow::DT_INT32) {
        int32_t dim;
        std::memcpy(&dim, data + i * sizeof(dim), sizeof(dim));
        dims[i] = dim;
      } else {
        std::memcpy(&dims[i], data + i * sizeof(int64_t), sizeof(int64_t));
      }
    }
    return MakeShape(dims, output, shape);
  }

  absl::Status OutputShape(OpKernelContext* ctx, int output, const SymbolValues* symbols,
                           TensorShape* shape) const {
    const TensorSpec* spec = SpecOf(output);
    if (spec == nullptr) {
      if (shapes_are_given()) return GivenShape(ctx, output, shape);
      *shape = ctx->input(0).shape();
      return absl::OkStatus();
    }
    if (like_input_[output] >= 0 && !shapes_are_given()) {
      *shape = ctx->input(like_input_[output]).shape();
      return absl::OkStatus();
    }
    absl::InlinedVector<int64_t, 8> dims;
    for (const Dimension& dimension : spec->dims) {
      absl::StatusOr<int64_t> size = symbols->Evaluate(dimension, *spec);
      if (!size.ok()) return Named(size.status());
      if (*size < 0) {
        return absl::InvalidArgumentError(absl::StrCat(
            Name(), ": the signature does not say dimension ", dims.size(), " of output '",
            spec->name, "'; only a function that returns its outputs can leave that open"));
      }
      dims.push_back(*size);
    }
    TF_RETURN_IF_ERROR(MakeShape(dims, output, shape));
    if (!shapes_are_given()) return absl::OkStatus();
    TensorShape given;
    TF_RETURN_IF_ERROR(GivenShape(ctx, output, &given));
    if (given == *shape) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        Name(), ": output_shape says that output ", output, " has shape ", given.DebugString(),
        ", and the signature says ", spec->text, " = ", shape->DebugString()));
  }

  absl::Status MakeShape(absl::Span<const int64_t> dims, int output, TensorShape* shape) const {
    if (absl::Status s = TensorShape::BuildTensorShape(dims, shape); !s.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(Name(), ": output ", output,
                                                     " cannot have shape [",
                                                     absl::StrJoin(dims, ","), "]: ", s.message()));
    }
    return absl::OkStatus();
  }

  /// Generated code counts elements in 32 bits: beyond that it reads and writes other memory.
  absl::Status CheckSize(const TensorShape& shape, const char* role, int index) const {
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    bool fits = shape.num_elements() <= kMost;
    if (shape.num_elements() == 0) {  // else no dimension is larger than the number of elements
      for (int i = 0; i < shape.dims(); ++i) fits = fits && shape.dim_size(i) <= kMost;
    }
    if (TF_PREDICT_TRUE(fits)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(Name(), ": ", role, " ", index, " has shape ", shape.DebugString(),
                     "; TVM functions count elements in 32 bits, so that at most ", kMost,
                     " are allowed. Split the tensor and call the function on the parts"));
  }

  bool IsAligned(const void* data) const {
    return (reinterpret_cast<uintptr_t>(data) & (memory_align_ - 1)) == 0;
  }

  /// Allocates `bytes` bytes of temporary memory that is aligned as the function expects.
  absl::Status AllocateAligned(OpKernelContext* ctx, int64_t bytes, Tensor* storage,
                               char** data) const {
    TF_RETURN_IF_ERROR(
        ctx->allocate_temp(tensorflow::DT_UINT8, TensorShape({bytes + memory_align_}), storage));
    const uintptr_t address = reinterpret_cast<uintptr_t>(storage->tensor_data().data());
    *data = reinterpret_cast<char*>((address + memory_align_ - 1) & ~(memory_align_ - 1));
    return absl::OkStatus();
  }

  absl::Status CopyToAlign(stream_executor::Stream* stream, const char* from, char* to,
                           int64_t bytes) const {
    Stats::Global().alignment_copies.fetch_add(1, std::memory_order_relaxed);
    Stats::Global().alignment_copied_bytes.fetch_add(bytes, std::memory_order_relaxed);
    static std::atomic<bool> warned{false};
    if (!warned.exchange(true)) {
      LOG(WARNING) << Name() << ": a tensor of " << bytes << " bytes is not at a multiple of "
                   << memory_align_ << " bytes and is copied at every call. Tensors that "
                   << "TensorFlow allocates lie at multiples of 64; memory brought in by DLPack "
                   << "may not. tensorflow_tvm.stats() counts such copies; this is said once.";
    }
    return Copy(stream, from, to, bytes);
  }

  static absl::Status Copy(stream_executor::Stream* stream, const char* from, char* to,
                           int64_t bytes) {
    if (stream == nullptr) {
      std::memcpy(to, from, bytes);
      return absl::OkStatus();
    }
    stream_executor::DeviceAddressBase source(const_cast<char*>(from), bytes);
    stream_executor::DeviceAddressBase target(to, bytes);
    return stream->Memcpy(&target, source, bytes);
  }

  absl::Status CallOnTvmDevice(OpKernelContext* ctx, const LibraryFunction& function) const {
    absl::StatusOr<TvmDevice> device = TvmDevice::Open(*callee_.device);
    if (!device.ok()) return Named(device.status());
    TvmDeviceCall copies(ctx, *device);
    return Call(ctx, function, Place{device->device(), nullptr, &copies}, &copies);
  }

  absl::Status Call(OpKernelContext* ctx, const LibraryFunction& function, const Place& place,
                    OpCallContext* context) const {
    const int inputs = static_cast<int>(input_dtypes_.size());
    int input_rank = 0;
    for (int i = 0; i < inputs; ++i) {
      const TensorShape& shape = ctx->input(i).shape();
      TF_RETURN_IF_ERROR(CheckSize(shape, "input", i));
      input_rank += shape.dims();
    }
    TensorViews input_views(inputs, input_rank, place.device);
    absl::InlinedVector<Tensor, 1> storage;  // of copies; empty unless something is misaligned
    for (int i = 0; i < inputs; ++i) {
      const Tensor& input = ctx->input(i);
      char* data = static_cast<char*>(input.data());
      if (TF_PREDICT_FALSE(place.copies != nullptr)) {
        absl::StatusOr<char*> copy = place.copies->CopyIn(data, input.tensor_data().size());
        if (!copy.ok()) return Named(copy.status());
        data = *copy;
      } else if (input.NumElements() == 0) {
        data = no_data;
      } else if (TF_PREDICT_FALSE(!IsAligned(data))) {
        const char* from = data;
        const int64_t bytes = input.tensor_data().size();
        TF_RETURN_IF_ERROR(AllocateAligned(ctx, bytes, &storage.emplace_back(), &data));
        TF_RETURN_IF_ERROR(CopyToAlign(place.stream, from, data, bytes));
      }
      input_views.Add(input.shape(), input_dtypes_[i], data);
    }
    if (!has_signature_) {
      return CallWithInputs(ctx, function, place, context, &input_views, nullptr, &storage);
    }
    SymbolValues symbols(*callee_.signature);
    for (int i = 0; i < inputs; ++i) {
      TF_RETURN_IF_ERROR(Named(symbols.BindInput(i, input_views.dims(i))));
    }
    for (int i = 0; i < inputs; ++i) {
      TF_RETURN_IF_ERROR(Named(symbols.CheckInput(i, input_views.dims(i))));
    }
    return CallWithInputs(ctx, function, place, context, &input_views, &symbols, &storage);
  }

  absl::Status CallWithInputs(OpKernelContext* ctx, const LibraryFunction& function,
                              const Place& place, OpCallContext* context, TensorViews* input_views,
                              const SymbolValues* symbols,
                              absl::InlinedVector<Tensor, 1>* storage) const {
    if (returns_outputs_) {
      ffi::Any result;
      TF_RETURN_IF_ERROR(Invoke(ctx, function, context, input_views, nullptr, *storage, &result));
      return TakeOutputs(ctx, std::move(result), place, context, symbols);
    }
    const int outputs = static_cast<int>(output_dtypes_.size());
    absl::InlinedVector<Tensor*, 4> results(outputs);
    bool all_empty = true;
    int output_rank = 0;
    for (int i = 0; i < outputs; ++i) {
      if (!has_signature_ && !shapes_are_given()) {  // spares a copy of the shape
        TF_RETURN_IF_ERROR(ctx->allocate_output(i, ctx->input(0).shape(), &results[i]));
      } else {
        TensorShape shape;
        TF_RETURN_IF_ERROR(OutputShape(ctx, i, symbols, &shape));
        TF_RETURN_IF_ERROR(CheckSize(shape, "output", i));
        TF_RETURN_IF_ERROR(ctx->allocate_output(i, shape, &results[i]));
      }
      output_rank += results[i]->dims();
      all_empty = all_empty && results[i]->NumElements() == 0;
    }
    // No accelerator can launch an empty grid.
    if (all_empty && place.device.device_type != kDLCPU) return absl::OkStatus();

    TensorViews output_views(outputs, output_rank, place.device);
    absl::InlinedVector<std::pair<int, char*>, 1> staged;  // outputs to be copied afterwards
    for (int i = 0; i < outputs; ++i) {
      char* data = static_cast<char*>(results[i]->data());
      if (TF_PREDICT_FALSE(place.copies != nullptr)) {
        absl::StatusOr<char*> memory = place.copies->Allocate(results[i]->tensor_data().size());
        if (!memory.ok()) return Named(memory.status());
        data = *memory;
        staged.emplace_back(i, data);
      } else if (results[i]->NumElements() == 0) {
        data = no_data;
      } else if (TF_PREDICT_FALSE(!IsAligned(data))) {
        TF_RETURN_IF_ERROR(AllocateAligned(ctx, results[i]->tensor_data().size(),
                                           &storage->emplace_back(), &data));
        staged.emplace_back(i, data);
      }
      output_views.Add(results[i]->shape(), output_dtypes_[i], data);
    }

    ffi::Any result;
    TF_RETURN_IF_ERROR(
        Invoke(ctx, function, context, input_views, &output_views, *storage, &result));
    if (TF_PREDICT_FALSE(result.type_index() >= ffi::TypeIndex::kTVMFFIStaticObjectBegin)) {
      return absl::InvalidArgumentError(absl::StrCat(
          Name(), " returned an object; expected a function that fills the outputs passed to it. ",
          "If it returns its outputs, say so: arg_spec=[\"args\"]"));
    }
    for (const auto& [output, data] : staged) {
      const absl::string_view target = results[output]->tensor_data();
      char* const to = const_cast<char*>(target.data());
      TF_RETURN_IF_ERROR(place.copies != nullptr
                             ? Named(place.copies->CopyOut(data, 0, to, target.size()))
                             : CopyToAlign(place.stream, data, to, target.size()));
    }
    return absl::OkStatus();
  }

  absl::Status Invoke(OpKernelContext* ctx, const LibraryFunction& function, OpCallContext* context,
                      TensorViews* inputs, TensorViews* outputs,
                      const absl::InlinedVector<Tensor, 1>& storage, ffi::Any* result) const {
    std::vector<ffi::Tensor> owned;
    absl::InlinedVector<TVMFFIAny, 12> arguments(arguments_.size());
    for (size_t i = 0; i < arguments_.size(); ++i) {
      const Callee::Argument& argument = arguments_[i];
      if (argument.kind == Callee::Argument::Kind::kAttr) {
        arguments[i] = ffi::AnyView(callee_.attrs[argument.index].second).CopyToTVMFFIAny();
        continue;
      }
      const bool is_input = argument.kind == Callee::Argument::Kind::kInput;
      TensorViews& views = is_input ? *inputs : *outputs;
      if (owned_tensors_) {
        absl::InlinedVector<Tensor, 1> owners = storage;
        owners.push_back(is_input ? ctx->input(argument.index)
                                  : *ctx->mutable_output(argument.index));
        owned.push_back(ffi::Tensor::FromDLPackVersioned(
            NewManagedTensor(*views[argument.index], std::move(owners), context->memory())));
        arguments[i] = ffi::AnyView(owned.back()).CopyToTVMFFIAny();
        continue;
      }
      arguments[i].type_index = kTVMFFIDLTensorPtr;
      arguments[i].zero_padding = 0;
      arguments[i].v_ptr = views[argument.index];
    }
    CallScope scope(context);
    TVMFFIAny raw;
    raw.type_index = kTVMFFINone;
    raw.zero_padding = 0;
    raw.v_int64 = 0;
    int code = -1;
    try {
      code =
          function.call(function.self, arguments.data(), static_cast<int>(arguments.size()), &raw);
    } catch (const std::exception& error) {  // against tvm-ffi's rules, and fatal to TensorFlow
      return absl::InternalError(absl::StrCat(Name(), " threw an exception: ", error.what()));
    } catch (...) {
      return absl::InternalError(absl::StrCat(Name(), " threw an exception"));
    }
    ffi::ObjectPtr<ffi::Object> error = scope.TakeError();
    if (TF_PREDICT_FALSE(code != 0 || error != nullptr)) {
      ffi::ObjectPtr<ffi::Object> raised = TakeRaisedError();
      return CallError(ctx, error != nullptr ? error : raised);
    }
    *result = ffi::details::AnyUnsafe::MoveTVMFFIAnyToAny(&raw);
    return absl::OkStatus();
  }

  /// Makes the op's outputs of the tensors that the function returned.
  absl::Status TakeOutputs(OpKernelContext* ctx, ffi::Any result, const Place& place,
                           OpCallContext* context, const SymbolValues* symbols) const {
    const int outputs = static_cast<int>(output_dtypes_.size());
    std::vector<ffi::Tensor> tensors;
    // By type index: Any::as() takes None for a reference that is null.
    if (result.type_index() == ffi::TypeIndex::kTVMFFITensor) {
      tensors.push_back(result.cast<ffi::Tensor>());
    } else if (result.type_index() == ffi::TypeIndex::kTVMFFIArray) {
      const auto array = result.cast<ffi::Array<ffi::Any>>();
      for (const ffi::Any& element : array) {
        if (element.type_index() != ffi::TypeIndex::kTVMFFITensor) break;
        tensors.push_back(element.cast<ffi::Tensor>());
      }
      if (tensors.size() != array.size()) tensors.clear();
    }
    if (static_cast<int>(tensors.size()) != outputs) {
      const std::string what = tensors.empty()
                                   ? absl::StrCat("a value of type ", result.GetTypeKey())
                                   : absl::StrCat(tensors.size(), " tensors");
      return absl::InvalidArgumentError(absl::StrCat(
          Name(), " returned ", what, "; expected ", outputs, outputs == 1 ? " tensor" : " tensors",
          ". If it fills outputs that are passed to it, arg_spec must have \"rets\""));
    }
    std::vector<TensorShape> shapes(outputs);
    std::vector<const void*> ours(outputs);  // outputs in TensorFlow's memory
    for (int i = 0; i < outputs; ++i) {
      const ffi::Tensor& tensor = tensors[i];
      TF_RETURN_IF_ERROR(CheckReturned(ctx, i, tensor, place.device, symbols, &shapes[i]));
      const Tensor* bytes =
          tensor.byte_offset() == 0 ? context->FindTensor(tensor.data_ptr()) : nullptr;
      if (bytes != nullptr && bytes->NumElements() == shapes[i].num_elements() * Size(i)) {
        ours[i] = tensor.data_ptr();
      } else {
        TF_RETURN_IF_ERROR(
            CopyOutput(ctx, i, shapes[i], tensor.data_ptr(), tensor.byte_offset(), place));
      }
    }
    // What somebody holds from here on, the function keeps, and may write to later.
    result = nullptr;
    tensors.clear();
    for (int i = 0; i < outputs; ++i) {
      if (ours[i] == nullptr) continue;
      Tensor output;
      if (const Tensor* bytes = context->TakeTensor(ours[i])) {
        TF_RETURN_IF_ERROR(output.BitcastFrom(*bytes, ctx->expected_output_dtype(i), shapes[i]));
        ctx->set_output(i, output);
      } else {
        TF_RETURN_IF_ERROR(CopyOutput(ctx, i, shapes[i], ours[i], 0, place));
      }
    }
    return absl::OkStatus();
  }

  /// The size of an element of output `output` in bytes.
  int64_t Size(int output) const { return output_dtypes_[output].bits / 8; }

  absl::Status CopyOutput(OpKernelContext* ctx, int output, const TensorShape& shape,
                          const void* data, uint64_t offset, const Place& place) const {
    Tensor* copy = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(output, shape, &copy));
    const absl::string_view target = copy->tensor_data();
    if (target.empty()) return absl::OkStatus();
    char* const to = const_cast<char*>(target.data());
    if (place.copies != nullptr) {
      return Named(place.copies->CopyOut(data, offset, to, target.size()));
    }
    Stats::Global().output_copies.fetch_add(1, std::memory_order_relaxed);
    Stats::Global().output_copied_bytes.fetch_add(target.size(), std::memory_order_relaxed);
    return Copy(place.stream, static_cast<const char*>(data) + offset, to, target.size());
  }

  /// Checks that `tensor` can be output `output`, and returns its shape.
  absl::Status CheckReturned(OpKernelContext* ctx, int output, const ffi::Tensor& tensor,
                             DLDevice device, const SymbolValues* symbols,
                             TensorShape* result) const {
    const auto refuse = [&](const std::string& what) {
      return absl::InvalidArgumentError(
          absl::StrCat(Name(), ": the tensor returned as output ", output, " ", what));
    };
    const DLDataType dtype = output_dtypes_[output];
    if (tensor.dtype().code != dtype.code || tensor.dtype().bits != dtype.bits ||
        tensor.dtype().lanes != dtype.lanes) {
      return refuse(absl::StrCat("has dtype ", std::string(ffi::DLDataTypeToString(tensor.dtype())),
                                 "; expected ", std::string(ffi::DLDataTypeToString(dtype)),
                                 ", as output_dtype or the signature says"));
    }
    if (tensor.device().device_type != device.device_type ||
        tensor.device().device_id != device.device_id) {
      return refuse(absl::StrCat("is on device ", tensor.device().device_type, ":",
                                 tensor.device().device_id, "; expected device ",
                                 device.device_type, ":", device.device_id, ", where the op runs"));
    }
    if (!tensor.IsContiguous()) return refuse("has gaps; expected contiguous memory");
    const absl::Span<const int64_t> dims(tensor.shape().data(), tensor.shape().size());
    TF_RETURN_IF_ERROR(MakeShape(dims, output, result));
    const TensorShape& shape = *result;
    if (const TensorSpec* spec = SpecOf(output)) {
      bool fits = dims.size() == spec->dims.size();
      for (size_t i = 0; fits && i < dims.size(); ++i) {
        absl::StatusOr<int64_t> size = symbols->Evaluate(spec->dims[i], *spec);
        if (!size.ok()) return Named(size.status());
        fits = *size < 0 || *size == dims[i];
      }
      if (!fits) {
        return refuse(absl::StrCat("has shape ", shape.DebugString(), "; expected ", spec->text,
                                   " (", symbols->ToString(), ")"));
      }
    }
    if (shapes_are_given()) {
      TensorShape given;
      TF_RETURN_IF_ERROR(GivenShape(ctx, output, &given));
      if (given != shape) {
        return refuse(absl::StrCat("has shape ", shape.DebugString(), "; expected ",
                                   given.DebugString(), ", as output_shape says"));
      }
    }

    if (tensor.data_ptr() == nullptr && shape.num_elements() > 0) return refuse("has no memory");
    return absl::OkStatus();
  }

  absl::Status CallError(OpKernelContext* ctx,
                         const tvm::ffi::ObjectPtr<tvm::ffi::Object>& error) const {
    std::string kind = "Error";
    std::string message = "the function failed without saying why";
    if (error != nullptr && error->IsInstance<tvm::ffi::ErrorObj>()) {
      const auto* details = static_cast<const tvm::ffi::ErrorObj*>(error.get());
      kind.assign(details->kind.data, details->kind.size);
      message.assign(details->message.data, details->message.size);
    }
    if (absl::StrContains(message, "Cannot find function") && !IsTvmRuntimeLoaded()) {
      absl::StrAppend(&message,
                      " The TVM runtime, which may have it, is not installed: pip install "
                      "apache-tvm");
    }
    if (absl::StrContains(message, "Expected `ffi.Tensor` but got `DLTensor*`")) {
      absl::StrAppend(&message,
                      ". Take ffi::TensorView, or compile the library with "
                      "-DTVM_FFI_DLL_EXPORT_INCLUDE_METADATA=1, so that it says what it "
                      "takes");
    }
    std::vector<std::string> inputs;
    for (size_t i = 0; i < input_dtypes_.size(); ++i) {
      inputs.push_back(Describe(ctx->input(i), input_dtypes_[i]));
    }
    std::string outputs;
    if (returns_outputs_) {
      if (absl::StrContains(message, "Mismatched number of arguments")) {
        absl::StrAppend(&message,
                        " If it fills outputs that are passed to it, arg_spec must have "
                        "\"rets\".");
      }
    } else {
      std::vector<std::string> parts;
      for (size_t i = 0; i < output_dtypes_.size(); ++i) {
        parts.push_back(Describe(*ctx->mutable_output(i), output_dtypes_[i]));
      }
      outputs = absl::StrCat(" and outputs (", absl::StrJoin(parts, ", "), ")");
      if (!has_signature_) {
        absl::StrAppend(&outputs, ", which are what output_shape and output_dtype say");
        if (absl::StrContains(message, "Mismatched number of arguments")) {
          absl::StrAppend(&message, " If it returns its outputs, say so: arg_spec=[\"args\"].");
        }
      }
    }
    std::string attrs;
    for (const auto& [attr, value] : callee_.attrs) {
      absl::StrAppend(&attrs, ", ", attr, "=", Shortened(tvm::ffi::json::Stringify(value)));
    }
    return absl::Status(
        CodeOfErrorKind(kind),
        absl::StrCat(Name(), " failed: ", kind, ": ", message, "\nIt was called on ",
                     on_tvm_device_ ? TvmDeviceName(*callee_.device) + " by " : "",
                     ctx->device()->name(), " with inputs (", absl::StrJoin(inputs, ", "), ")",
                     outputs, attrs, "."));
  }

  // What every call reads, close together: each node of a graph has a kernel of its own, and in a
  // large graph fetching it from memory is a good part of a small call's time.
  DLDeviceType device_type_ = kDLCPU;
  std::atomic<const Resolved*> resolved_{nullptr};
  Resolved first_;
  int64_t memory_align_ = 0;
  int library_index_ = -1;
  int shapes_index_ = -1;
  absl::InlinedVector<DLDataType, 4> input_dtypes_;
  absl::InlinedVector<DLDataType, 4> output_dtypes_;
  bool has_signature_ = false;
  bool returns_outputs_ = false;
  bool owned_tensors_ = false;
  bool on_tvm_device_ = false;
  absl::InlinedVector<Callee::Argument, 4> arguments_;
  absl::InlinedVector<int, 4> like_input_;  ///< where the signature says so, else -1
  std::vector<TensorShape> static_shapes_;

  Callee callee_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Resolved>> later_;  // guarded by mutex_
};

#define TENSORFLOW_TVM_REGISTER_KERNEL(name)                                                       \
  REGISTER_KERNEL_BUILDER(Name(name).Device(tensorflow::DEVICE_CPU), DSOOp);                       \
  REGISTER_KERNEL_BUILDER(                                                                         \
      Name(name).Device(tensorflow::DEVICE_GPU).HostMemory("library").HostMemory("output_shapes"), \
      DSOOp)

TENSORFLOW_TVM_REGISTER_KERNEL("TVM>DSOOp");
TENSORFLOW_TVM_REGISTER_KERNEL("TVM>StatefulDSOOp");

}  // namespace
}  // namespace tensorflow_tvm
