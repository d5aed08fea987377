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
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/fixed_array.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "dlpack/dlpack.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/platform/logging.h"
#include "tensorflow_tvm/cc/kernels/gpu_stream.h"
#include "tensorflow_tvm/cc/kernels/op_call_context.h"
#include "tensorflow_tvm/cc/kernels/tensor_views.h"
#include "tensorflow_tvm/cc/kernels/tvm_device_call.h"
#include "tensorflow_tvm/cc/runtime/callee.h"
#include "tensorflow_tvm/cc/runtime/dlpack_bridge.h"
#include "tensorflow_tvm/cc/runtime/function_call.h"
#include "tensorflow_tvm/cc/runtime/library.h"
#include "tensorflow_tvm/cc/runtime/signature.h"
#include "tensorflow_tvm/cc/runtime/stats.h"
#include "tensorflow_tvm/cc/runtime/stream_scope.h"
#include "tensorflow_tvm/cc/runtime/tvm_device.h"
#include "tvm/ffi/container/tensor.h"
#include "xla/stream_executor/stream.h"

namespace tensorflow_tvm {
namespace {

namespace ffi = tvm::ffi;

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

/// The kernel of TVM>DSOOp and TVM>StatefulDSOOp, on CPU and GPU.
class DSOOp : public tensorflow::OpKernel {
 public:
  explicit DSOOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    std::string callee;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("callee", &callee));
    OP_REQUIRES_OK(ctx, call_.Init(callee));
    std::vector<DLDataType> input_dtypes;
    std::vector<DLDataType> output_dtypes;
    OP_REQUIRES_OK(ctx, ReadDtypes(ctx, "Tin", "input", &input_dtypes));
    OP_REQUIRES_OK(ctx, ReadDtypes(ctx, "Tout", "output", &output_dtypes));
    OP_REQUIRES_OK(ctx, call_.SetDtypes(input_dtypes, output_dtypes));
    memory_align_ = call_.callee().memory_align;
    const std::optional<DLDevice>& tvm_device = call_.callee().device;
    const bool on_gpu = ctx->device_type() == tensorflow::DEVICE_GPU;
    if (on_gpu) device_type_ = kDLCUDA;
    if (tvm_device.has_value()) {
      OP_REQUIRES(ctx, !on_gpu,
                  absl::InvalidArgumentError(absl::StrCat(
                      Name(), " is to run on TVM's device ", TvmDeviceName(*tvm_device),
                      ", which the CPU's op does; this one was placed on a GPU. Place it on a "
                      "CPU, as target_device does")));
      device_type_ = tvm_device->device_type;
      on_tvm_device_ = true;
    }
    int library_count = 0;
    int shape_count = 0;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("NL", &library_count));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("NS", &shape_count));
    const int inputs = static_cast<int>(input_dtypes.size());
    const int outputs = static_cast<int>(output_dtypes.size());
    for (int i = 0; i < outputs; ++i) like_input_.push_back(InputLike(i));
    for (const int input : call_.callee().in_place) {
      OP_REQUIRES(ctx, input >= 0 && input < inputs,
                  absl::InvalidArgumentError(absl::StrCat(
                      Name(), ": in_place has ", input, ", and there are ", inputs, " inputs")));
      if (!on_gpu) in_place_.push_back(input);
    }
    // The first one is the function's; the others are those of its gradients.
    if (library_count > 0) library_index_ = inputs;
    if (shape_count > 0) shapes_index_ = inputs + library_count;

    const std::vector<std::vector<int64_t>>& known = call_.callee().output_shapes;
    const int shapes = shape_count > 0 ? shape_count : static_cast<int>(known.size());
    OP_REQUIRES(ctx, shapes == 0 || shapes == outputs,
                absl::InvalidArgumentError(absl::StrCat(Name(), ": expected ", outputs,
                                                        " output shapes, given ", shapes)));
    if (shape_count == 0) static_shapes_.resize(known.size());
    for (size_t i = 0; i < static_shapes_.size(); ++i) {
      OP_REQUIRES_OK(ctx, MakeShape(known[i], i, &static_shapes_[i]));
    }
    if (shapes > 0 || inputs > 0 || call_.returns_outputs()) return;
    for (int i = 0; i < outputs; ++i) {
      OP_REQUIRES(ctx, call_.SpecOf(i) != nullptr,
                  absl::InvalidArgumentError(absl::StrCat(
                      Name(), " has no inputs to take the output shape from; give output_shape")));
    }
  }

  void Compute(OpKernelContext* ctx) override {
    LibraryPtr owner;
    LibraryFunction function;
    const auto read = [&]() -> absl::StatusOr<absl::string_view> {
      return ctx->input(library_index_).tensor_data();
    };
    const FunctionCall::BytesReader bytes = read;
    OP_REQUIRES_OK(ctx, call_.Find(device_type_, library_index_ < 0 ? nullptr : &bytes, &function,
                                   &owner));
    if (TF_PREDICT_FALSE(on_tvm_device_)) {
      OP_REQUIRES_OK(ctx, CallOnTvmDevice(ctx, function));
      return;
    }
    if (ctx->op_device_context() == nullptr || ctx->op_device_context()->stream() == nullptr) {
      OpCallContext context(ctx, DLDevice{kDLCPU, 0});
      OP_REQUIRES_OK(ctx, Call(ctx, function, Place{DLDevice{kDLCPU, 0}}, &context));
      return;
    }
    stream_executor::Stream* stream = ctx->op_device_context()->stream();
    absl::StatusOr<GpuStream> gpu = StreamOf(ctx);
    OP_REQUIRES_OK(ctx, gpu.status());
    StreamScope scope(gpu->device, gpu->handle);
    OpCallContext context(ctx, gpu->device);
    OP_REQUIRES_OK(ctx, Call(ctx, function, Place{gpu->device, stream}, &context));
  }

 private:
  /// Where a function is called.
  struct Place {
    DLDevice device;
    stream_executor::Stream* stream = nullptr;  ///< where it is a GPU of TensorFlow's
    TvmDeviceCall* copies = nullptr;            ///< where it is no device of TensorFlow's
  };

  std::string Name() const { return call_.Name(); }

  /// The first input whose shape is always that of output `i`, as most have one; -1 if there is
  /// none.
  int InputLike(int i) const {
    const auto same = [](const Dimension& a, const Dimension& b) {
      return a.kind == b.kind && a.value == b.value && a.kind != Dimension::Kind::kExpression &&
             a.kind != Dimension::Kind::kUnknown;
    };
    const TensorSpec* output = call_.SpecOf(i);
    if (output == nullptr) return -1;
    const std::vector<TensorSpec>& inputs = call_.signature()->inputs();
    for (size_t j = 0; j < inputs.size(); ++j) {
      if (!inputs[j].any_shape &&
          std::equal(inputs[j].dims.begin(), inputs[j].dims.end(), output->dims.begin(),
                     output->dims.end(), same)) {
        return static_cast<int>(j);
      }
    }
    return -1;
  }

  absl::Status ReadDtypes(OpKernelConstruction* ctx, const char* attr, const char* role,
                          std::vector<DLDataType>* result) {
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
    return MakeShape(ReadDims(given), output, shape);
  }

  absl::Status OutputShape(OpKernelContext* ctx, int output, const SymbolValues* symbols,
                           TensorShape* shape) const {
    const TensorSpec* spec = call_.SpecOf(output);
    if (spec == nullptr) {
      if (shapes_are_given()) return GivenShape(ctx, output, shape);
      *shape = ctx->input(0).shape();
      return absl::OkStatus();
    }
    Dims dims;
    TF_RETURN_IF_ERROR(call_.OutputDims(output, *symbols, &dims));
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
    TF_RETURN_IF_ERROR(call_.CheckShape(dims, "output", output));
    return TensorShape::BuildTensorShape(dims, shape);
  }

  absl::Status CheckSize(const TensorShape& shape, const char* role, int index) const {
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    // Without elements, a dimension may be larger than their number.
    if (TF_PREDICT_TRUE(shape.num_elements() <= kMost && shape.num_elements() > 0)) {
      return absl::OkStatus();
    }
    return call_.CheckSize(shape.dim_sizes(), role, index);
  }

  bool IsAligned(const void* data) const {
    return (reinterpret_cast<uintptr_t>(data) & (memory_align_ - 1)) == 0;
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
    absl::StatusOr<TvmDevice> device = TvmDevice::Open(*call_.callee().device);
    if (!device.ok()) return call_.Named(device.status());
    TvmDeviceCall copies(ctx, *device);
    return Call(ctx, function, Place{device->device(), nullptr, &copies}, &copies);
  }

  absl::Status Call(OpKernelContext* ctx, const LibraryFunction& function, const Place& place,
                    OpCallContext* context) const {
    const int inputs = static_cast<int>(call_.input_dtypes().size());
    int input_rank = 0;
    for (int i = 0; i < inputs; ++i) {
      const TensorShape& shape = ctx->input(i).shape();
      TF_RETURN_IF_ERROR(CheckSize(shape, "input", i));
      input_rank += shape.dims();
    }
    TensorViews views(inputs, input_rank, place.device);
    for (int i = 0; i < inputs; ++i) {
      const Tensor& input = ctx->input(i);
      char* data = static_cast<char*>(input.data());
      if (TF_PREDICT_FALSE(place.copies != nullptr)) {
        absl::StatusOr<char*> copy = place.copies->CopyIn(data, input.tensor_data().size());
        if (!copy.ok()) return call_.Named(copy.status());
        data = *copy;
      } else if (input.NumElements() == 0) {
        data = no_data;
      } else if (TF_PREDICT_FALSE(!IsAligned(data))) {
        const char* from = data;
        const int64_t bytes = input.tensor_data().size();
        TF_ASSIGN_OR_RETURN(data, context->AllocateAligned(bytes, memory_align_));
        TF_RETURN_IF_ERROR(CopyToAlign(place.stream, from, data, bytes));
      }
      views.Add(input.shape(), call_.input_dtypes()[i], data);
    }
    if (call_.signature() == nullptr) {
      return CallWithInputs(ctx, function, place, context, &views, nullptr);
    }
    SymbolValues symbols(*call_.signature());
    TF_RETURN_IF_ERROR(call_.BindInputs(views.tensors(), &symbols));
    return CallWithInputs(ctx, function, place, context, &views, &symbols);
  }

  absl::Status AllocateOutput(OpKernelContext* ctx, int output, const TensorShape& shape,
                              Tensor** result) const {
    if (output > 0 || in_place_.empty()) return ctx->allocate_output(output, shape, result);
    return ctx->forward_input_or_allocate_output(in_place_, output, shape, result);
  }

  absl::Status CallWithInputs(OpKernelContext* ctx, const LibraryFunction& function,
                              const Place& place, OpCallContext* context, TensorViews* input_views,
                              const SymbolValues* symbols) const {
    ffi::Any result;
    if (call_.returns_outputs()) {
      TF_RETURN_IF_ERROR(call_.Invoke(function, context, input_views->tensors(), {}, &result));
      return TakeOutputs(ctx, std::move(result), place, context, symbols);
    }
    const int outputs = static_cast<int>(call_.output_dtypes().size());
    absl::FixedArray<Tensor*, 4> results(outputs);
    bool all_empty = true;
    int output_rank = 0;
    for (int i = 0; i < outputs; ++i) {
      const int like = symbols != nullptr ? like_input_[i] : 0;
      if (like >= 0 && !shapes_are_given()) {  // spares a copy of the shape
        TF_RETURN_IF_ERROR(AllocateOutput(ctx, i, ctx->input(like).shape(), &results[i]));
      } else {
        TensorShape shape;
        TF_RETURN_IF_ERROR(OutputShape(ctx, i, symbols, &shape));
        TF_RETURN_IF_ERROR(CheckSize(shape, "output", i));
        TF_RETURN_IF_ERROR(AllocateOutput(ctx, i, shape, &results[i]));
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
        if (!memory.ok()) return call_.Named(memory.status());
        data = *memory;
        staged.emplace_back(i, data);
      } else if (results[i]->NumElements() == 0) {
        data = no_data;
      } else if (TF_PREDICT_FALSE(!IsAligned(data))) {
        TF_ASSIGN_OR_RETURN(
            data, context->AllocateAligned(results[i]->tensor_data().size(), memory_align_));
        staged.emplace_back(i, data);
      }
      output_views.Add(results[i]->shape(), call_.output_dtypes()[i], data);
    }
    TF_RETURN_IF_ERROR(call_.Invoke(function, context, input_views->tensors(),
                                    output_views.tensors(), &result));
    for (const auto& [output, data] : staged) {
      const absl::string_view target = results[output]->tensor_data();
      char* const to = const_cast<char*>(target.data());
      TF_RETURN_IF_ERROR(place.copies != nullptr
                             ? call_.Named(place.copies->CopyOut(data, 0, to, target.size()))
                             : CopyToAlign(place.stream, data, to, target.size()));
    }
    return absl::OkStatus();
  }

  /// Makes the op's outputs of the tensors that the function returned.
  absl::Status TakeOutputs(OpKernelContext* ctx, ffi::Any result, const Place& place,
                           OpCallContext* context, const SymbolValues* symbols) const {
    const int outputs = static_cast<int>(call_.output_dtypes().size());
    std::vector<ffi::Tensor> tensors;
    TF_RETURN_IF_ERROR(call_.TakeReturned(std::move(result), place.device, symbols, &tensors));
    std::vector<TensorShape> shapes(outputs);
    std::vector<const void*> ours(outputs);  // outputs in TensorFlow's memory
    for (int i = 0; i < outputs; ++i) {
      const ffi::Tensor& tensor = tensors[i];
      const absl::Span<const int64_t> dims(tensor.shape().data(), tensor.shape().size());
      TF_RETURN_IF_ERROR(MakeShape(dims, i, &shapes[i]));
      if (shapes_are_given()) {
        TensorShape given;
        TF_RETURN_IF_ERROR(GivenShape(ctx, i, &given));
        if (given != shapes[i]) {
          return call_.RefuseReturned(
              i, absl::StrCat("has shape ", shapes[i].DebugString(), "; expected ",
                              given.DebugString(), ", as output_shape says"));
        }
      }
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
  int64_t Size(int output) const { return call_.output_dtypes()[output].bits / 8; }

  absl::Status CopyOutput(OpKernelContext* ctx, int output, const TensorShape& shape,
                          const void* data, uint64_t offset, const Place& place) const {
    Tensor* copy = nullptr;
    TF_RETURN_IF_ERROR(ctx->allocate_output(output, shape, &copy));
    const absl::string_view target = copy->tensor_data();
    if (target.empty()) return absl::OkStatus();
    char* const to = const_cast<char*>(target.data());
    if (place.copies != nullptr) {
      return call_.Named(place.copies->CopyOut(data, offset, to, target.size()));
    }
    Stats::Global().output_copies.fetch_add(1, std::memory_order_relaxed);
    Stats::Global().output_copied_bytes.fetch_add(target.size(), std::memory_order_relaxed);
    return Copy(place.stream, static_cast<const char*>(data) + offset, to, target.size());
  }

  DLDeviceType device_type_ = kDLCPU;
  int64_t memory_align_ = 0;
  int library_index_ = -1;
  int shapes_index_ = -1;
  bool on_tvm_device_ = false;
  absl::InlinedVector<int, 4> like_input_;  ///< where the signature says so, else -1
  absl::InlinedVector<int, 2> in_place_;    ///< inputs that the first output may be written over
  std::vector<TensorShape> static_shapes_;
  FunctionCall call_;
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
