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
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "dlpack/dlpack.h"
#include "tensorflow/compiler/tf2xla/type_util.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/compiler/tf2xla/xla_op_registry.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/logging.h"
#include "tensorflow/core/util/work_sharder.h"
#include "tensorflow_tvm/cc/runtime/buffer_call.h"
#include "tensorflow_tvm/cc/runtime/dims.h"
#include "tvm/ffi/function.h"
#include "xla/ffi/api/ffi.h"
#include "xla/hlo/builder/xla_builder.h"
#include "xla/shape_util.h"

namespace xla::ffi {
// Of xla/ffi/ffi_api.h, which cannot be included: it needs headers of MLIR that TensorFlow's package
// does not have.
const XLA_FFI_Api* GetXlaFfiApi();
}  // namespace xla::ffi

namespace tensorflow_tvm {
namespace {

namespace ffi = ::xla::ffi;

using tensorflow::DataType;
using tensorflow::OpKernelConstruction;
using tensorflow::XlaOpKernelContext;

constexpr char kTarget[] = "tensorflow_tvm.call";

absl::StatusOr<std::unique_ptr<BufferCall>> MakeBufferCall(const std::string& callee,
                                                           absl::Span<const DataType> inputs,
                                                           absl::Span<const DataType> outputs) {
  auto factory = tvm::ffi::Function::GetGlobal(BufferCall::kFactory);
  if (!factory.has_value()) {
    return absl::FailedPreconditionError(
        "XLA's part of tensorflow_tvm is loaded, and _tvm_dso_ops.so is not; load that first");
  }
  return reinterpret_cast<BufferCall::Factory>((*factory)().cast<void*>())(callee, inputs, outputs);
}

/// `text` as a string of MLIR.
std::string Quoted(absl::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\' || !absl::ascii_isprint(c)) {
      const auto byte = static_cast<unsigned char>(c);
      absl::StrAppend(&result, "\\", absl::Hex(byte, absl::kZeroPad2));
    } else {
      result.push_back(c);
    }
  }
  result.push_back('"');
  return result;
}

/// `dtypes` as an array of MLIR.
std::string Array(absl::Span<const DataType> dtypes) {
  const auto number = [](std::string* out, DataType dtype) {
    absl::StrAppend(out, static_cast<int>(dtype));
  };
  return dtypes.empty() ? "array<i64>"
                        : absl::StrCat("array<i64: ", absl::StrJoin(dtypes, ", ", number), ">");
}

/// What XLA compiles TVM>DSOOp to: a call of `Run` below, with the inputs and the library's bytes.
/// That, and not an address, is in the executable: XLA may store it for other processes.
class XlaDSOOp : public tensorflow::XlaOpKernel {
 public:
  explicit XlaDSOOp(OpKernelConstruction* ctx) : XlaOpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("callee", &callee_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("Tin", &input_dtypes_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("Tout", &output_dtypes_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("NL", &library_count_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("NS", &shape_count_));
    absl::StatusOr<std::unique_ptr<BufferCall>> call =
        MakeBufferCall(callee_, input_dtypes_, output_dtypes_);
    OP_REQUIRES_OK(ctx, call.status());
    call_ = *std::move(call);
    const size_t outputs = output_dtypes_.size();
    OP_REQUIRES(ctx, shape_count_ == 0 || shape_count_ == static_cast<int>(outputs),
                absl::InvalidArgumentError(absl::StrCat(call_->Name(), ": expected ", outputs,
                                                        " output shapes, given ", shape_count_)));
  }

  void Compile(XlaOpKernelContext* ctx) override {
    const int inputs = static_cast<int>(input_dtypes_.size());
    std::vector<xla::XlaOp> operands;
    std::vector<xla::Shape> operand_shapes;
    std::vector<Dims> input_dims;
    // The first library is the function's own; the others are its gradients'.
    for (int i = 0; i < inputs + (library_count_ > 0 ? 1 : 0); ++i) {
      absl::StatusOr<xla::Shape> shape = ctx->InputXlaShape(i);
      OP_REQUIRES_OK(ctx, shape.status());
      OP_REQUIRES(ctx, shape->is_static(),
                  absl::UnimplementedError(absl::StrCat(
                      call_->Name(), ": input ", i, " has a size that depends on data: ",
                      shape->ToString(), "; XLA passes TVM functions tensors of known sizes only")));
      operands.push_back(ctx->Input(i));
      operand_shapes.emplace_back();
      OP_REQUIRES_OK(ctx,
                     RowMajor(shape->element_type(), shape->dimensions(), &operand_shapes.back()));
      if (i < inputs) input_dims.emplace_back(shape->dimensions().begin(), shape->dimensions().end());
    }
    std::vector<Dims> given;
    for (int i = 0; i < shape_count_; ++i) {
      // Not as a shape, which may be none that TensorFlow can hold.
      std::vector<int64_t> shape;
      const absl::Status status =
          ctx->ConstantInputAsIntVector(inputs + library_count_ + i, &shape);
      OP_REQUIRES(ctx, status.ok(),
                  absl::Status(status.code(),
                               absl::StrCat(call_->Name(), ": the shape of output ", i,
                                            " must be a vector that is known when XLA compiles: ",
                                            status.message())));
      given.emplace_back(shape.begin(), shape.end());
    }
    absl::StatusOr<std::vector<Dims>> dims = call_->OutputShapes(input_dims, given);
    OP_REQUIRES_OK(ctx, dims.status());
    std::vector<xla::Shape> output_shapes;
    for (size_t i = 0; i < output_dtypes_.size(); ++i) {
      xla::PrimitiveType type;
      OP_REQUIRES_OK(ctx, tensorflow::DataTypeToPrimitiveType(output_dtypes_[i], &type));
      output_shapes.emplace_back();
      OP_REQUIRES_OK(ctx, RowMajor(type, (*dims)[i], &output_shapes.back()));
    }
    const std::string config =
        absl::StrCat("{callee = ", Quoted(callee_), ", inputs = ", Array(input_dtypes_),
                     ", outputs = ", Array(output_dtypes_), "}");
    xla::XlaOp result = xla::CustomCallWithLayout(
        ctx->builder(), kTarget, operands, xla::ShapeUtil::MakeTupleShape(output_shapes),
        operand_shapes, config, /*has_side_effect=*/type_string() == "TVM>StatefulDSOOp",
        /*output_operand_aliasing=*/{}, /*literal=*/nullptr,
        xla::CustomCallSchedule::SCHEDULE_NONE,
        xla::CustomCallApiVersion::API_VERSION_TYPED_FFI);
    for (size_t i = 0; i < output_shapes.size(); ++i) {
      ctx->SetOutput(i, xla::GetTupleElement(result, i));
    }
  }

 private:
  /// A shape of TVM's only layout, which XLA may else think better of.
  absl::Status RowMajor(xla::PrimitiveType type, absl::Span<const int64_t> dims,
                        xla::Shape* shape) const {
    absl::StatusOr<xla::Shape> made =
        xla::ShapeUtil::MakeValidatedShapeWithDescendingLayout(type, dims);
    if (!made.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(call_->Name(), ": XLA cannot hold a tensor of shape [",
                       absl::StrJoin(dims, ","), "]: ", made.status().message()));
    }
    *shape = *std::move(made);
    return absl::OkStatus();
  }

  std::string callee_;
  std::vector<DataType> input_dtypes_;
  std::vector<DataType> output_dtypes_;
  int library_count_ = 0;
  int shape_count_ = 0;
  std::unique_ptr<BufferCall> call_;
};

/// What an executable keeps for one of its calls.
struct CallState {
  static ffi::TypeId id;
  std::unique_ptr<BufferCall> call;
  size_t inputs;
};
ffi::TypeId CallState::id = {};

ffi::Error ToError(const absl::Status& status) {
  return ffi::Error(static_cast<ffi::ErrorCode>(status.code()), std::string(status.message()));
}

ffi::ErrorOr<std::unique_ptr<CallState>> Instantiate(std::string_view callee,
                                                     ffi::Span<const int64_t> inputs,
                                                     ffi::Span<const int64_t> outputs) {
  const auto dtypes = [](ffi::Span<const int64_t> numbers) {
    std::vector<DataType> result;
    for (const int64_t number : numbers) result.push_back(static_cast<DataType>(number));
    return result;
  };
  absl::StatusOr<std::unique_ptr<BufferCall>> call =
      MakeBufferCall(std::string(callee), dtypes(inputs), dtypes(outputs));
  if (!call.ok()) return ffi::Unexpected(ToError(call.status()));
  auto state = std::make_unique<CallState>();
  state->call = *std::move(call);
  state->inputs = inputs.size();
  return state;
}

DLTensor View(const ffi::AnyBuffer& buffer, DLDevice device) {
  DLTensor tensor = {};
  tensor.data = buffer.untyped_data();
  tensor.device = device;
  tensor.ndim = static_cast<int>(buffer.dimensions().size());
  tensor.shape = const_cast<int64_t*>(buffer.dimensions().begin());
  return tensor;
}

/// A handler of a custom call: what runs when the executable does.
ffi::Error Run(CallState* state, ffi::RemainingArgs args, ffi::RemainingRets rets,
               BufferCall::Environment environment) {
  absl::InlinedVector<DLTensor, 8> inputs;
  absl::InlinedVector<DLTensor, 8> outputs;
  absl::string_view library;
  for (size_t i = 0; i < args.size(); ++i) {
    ffi::ErrorOr<ffi::AnyBuffer> buffer = args.get<ffi::AnyBuffer>(i);
    if (buffer.has_error()) return buffer.error();
    if (i < state->inputs) {
      inputs.push_back(View(*buffer, environment.device));
    } else {
      library = {static_cast<const char*>(buffer->untyped_data()), buffer->element_count()};
      environment.library = &library;
    }
  }
  for (size_t i = 0; i < rets.size(); ++i) {
    ffi::ErrorOr<ffi::Result<ffi::AnyBuffer>> buffer = rets.get<ffi::AnyBuffer>(i);
    if (buffer.has_error()) return buffer.error();
    outputs.push_back(View(**buffer, environment.device));
  }
  // Strides, which XLA does not say; tvm-ffi's tensors have them.
  size_t rank = 0;
  for (const auto* tensors : {&inputs, &outputs}) {
    for (const DLTensor& tensor : *tensors) rank += tensor.ndim;
  }
  Dims strides(rank);
  int64_t* next = strides.data();
  for (auto* tensors : {&inputs, &outputs}) {
    for (DLTensor& tensor : *tensors) {
      tensor.strides = next;
      next += tensor.ndim;
      FillStrides(tensor.shape, tensor.ndim, tensor.strides);
    }
  }
  absl::Status status =
      state->call->Run(absl::MakeSpan(inputs), absl::MakeSpan(outputs), environment);
  return status.ok() ? ffi::Error::Success() : ToError(status);
}

ffi::Error RunOnCpu(CallState* state, ffi::ThreadPool threads, ffi::RemainingArgs args,
                    ffi::RemainingRets rets) {
  const int count = static_cast<int>(threads.num_threads());
  const auto schedule = [&](std::function<void()> task) { threads.Schedule(std::move(task)); };
  return Run(state, args, rets,
             {DLDevice{kDLCPU, 0}, /*stream=*/nullptr,
              std::max(1, std::min(count, tensorflow::GetPerThreadMaxParallelism())), schedule});
}

ffi::Error RunOnGpu(CallState* state, void* stream, int32_t ordinal, ffi::RemainingArgs args,
                    ffi::RemainingRets rets) {
  const auto schedule = [](const std::function<void()>& task) { task(); };
  return Run(state, args, rets,
             {DLDevice{kDLCUDA, ordinal}, stream, /*max_parallelism=*/1, schedule});
}

XLA_FFI_DEFINE_HANDLER(instantiate, Instantiate,
                       ffi::Ffi::BindInstantiate()
                           .Attr<std::string_view>("callee")
                           .Attr<ffi::Span<const int64_t>>("inputs")
                           .Attr<ffi::Span<const int64_t>>("outputs"));
XLA_FFI_DEFINE_HANDLER(run_on_cpu, RunOnCpu,
                       ffi::Ffi::Bind()
                           .Ctx<ffi::State<CallState>>()
                           .Ctx<ffi::ThreadPool>()
                           .RemainingArgs()
                           .RemainingRets());
XLA_FFI_DEFINE_HANDLER(run_on_gpu, RunOnGpu,
                       ffi::Ffi::Bind()
                           .Ctx<ffi::State<CallState>>()
                           .Ctx<ffi::PlatformStream<void*>>()
                           .Ctx<ffi::DeviceOrdinal>()
                           .RemainingArgs()
                           .RemainingRets());

XLA_FFI_REGISTER_TYPE(xla::ffi::GetXlaFfiApi(), "tensorflow_tvm.call_state", &CallState::id,
                      ffi::MakeTypeInfo<CallState>());
XLA_FFI_REGISTER_HANDLER(xla::ffi::GetXlaFfiApi(), kTarget, "Host",
                         (XLA_FFI_Handler_Bundle{instantiate, nullptr, nullptr, run_on_cpu}));
XLA_FFI_REGISTER_HANDLER(xla::ffi::GetXlaFfiApi(), kTarget, "CUDA",
                         (XLA_FFI_Handler_Bundle{instantiate, nullptr, nullptr, run_on_gpu}));

/// Registers the kernel with XLA. TensorFlow makes kernels of such registrations when the process
/// first compiles; where that has been, they are made here.
class Registration {
 public:
  Registration() {
    // Without the op, the first use of TensorFlow would end the process.
    if (tensorflow::OpRegistry::Global()->LookUp("TVM>DSOOp") == nullptr) {
      LOG(ERROR) << "XLA's part of tensorflow_tvm is loaded, and _tvm_dso_ops.so is not, which has "
                    "to be first; XLA will not compile TVM's ops.";
      return;
    }
    const auto make = [](OpKernelConstruction* ctx) -> tensorflow::OpKernel* {
      return new XlaDSOOp(ctx);
    };
    for (const char* op : {"TVM>DSOOp", "TVM>StatefulDSOOp"}) {
      tensorflow::XlaOpRegistrar(tensorflow::XlaOpRegistrationBuilder::Name(op)
                                     .CompileTimeConstantInput("output_shapes")
                                     .Build(make));
      for (const char* device : {"XLA_CPU_JIT", "XLA_GPU_JIT"}) {
        if (!HasKernels(device)) continue;
        registrars_.push_back(std::make_unique<tensorflow::kernel_factory::OpKernelRegistrar>(
            tensorflow::KernelDefBuilder(op).Device(device).Build(), "XlaDSOOp", make));
      }
    }
  }

 private:
  static bool HasKernels(const char* device) {
    tensorflow::NodeDef node;
    node.set_name("probe");
    node.set_op("AddV2");
    (*node.mutable_attr())["T"].set_type(tensorflow::DT_FLOAT);
    return tensorflow::FindKernelDef(tensorflow::DeviceType(device), node, nullptr, nullptr).ok();
  }

  std::vector<std::unique_ptr<tensorflow::kernel_factory::OpKernelRegistrar>> registrars_;
};
Registration registration;

}  // namespace
}  // namespace tensorflow_tvm
