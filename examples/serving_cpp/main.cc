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

/* Serves a SavedModel from C++, without Python: loads the op library and the model, runs batches
   from several threads, and prints how long they took. The model carries its TVM libraries with it.

     ./bazelw run //examples/serving_cpp:make_model -- /tmp/model
     ./bazelw run //tools:runtime_folder -- /tmp/runtime --model /tmp/model
     ./bazelw run //examples/serving_cpp:main -- --model=/tmp/model \
         --op_library=/tmp/runtime/_tvm_dso_ops.so --threads=4 --batches=1000 --batch_size=32

   docs/serving.md says how to build it without Bazel. main_static is the same program with the op
   linked in, and takes no --op_library. */

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/platform/env.h"
#include "tensorflow/core/public/session.h"
#include "tensorflow/core/util/command_line_flags.h"

namespace {

using tensorflow::Tensor;
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

struct Options {
  std::string model;
  std::string op_library;
  std::string numbers;
  int64_t threads = 2;
  int64_t batches = 1000;
  int64_t batch_size = 32;
};

/// What Session::Run takes and gives.
struct Request {
  NamedTensors inputs;
  std::vector<std::string> outputs;       // names of tensors
  std::vector<std::string> output_names;  // what the signature calls them
};

/// The numbers that --numbers lists; random ones if it lists none.
absl::StatusOr<std::function<float()>> Numbers(const std::string& list) {
  std::vector<float> numbers;
  for (absl::string_view word : absl::StrSplit(list, ',', absl::SkipWhitespace())) {
    if (!absl::SimpleAtof(word, &numbers.emplace_back())) {
      return absl::InvalidArgumentError(
          absl::StrCat("--numbers has '", word, "'; expected numbers separated by commas"));
    }
  }
  if (numbers.empty()) {
    std::minstd_rand random;
    std::uniform_real_distribution<float> uniform(-1, 1);
    return [random, uniform]() mutable { return uniform(random); };
  }
  return [numbers, next = size_t{0}]() mutable { return numbers[next++ % numbers.size()]; };
}

/// A batch for the signature `serving_default`, whose inputs have to be floats.
absl::StatusOr<Request> MakeRequest(const tensorflow::SavedModelBundleLite& model,
                                    const Options& options) {
  const auto found = model.GetSignatures().find("serving_default");
  if (found == model.GetSignatures().end()) {
    return absl::NotFoundError("the model has no signature 'serving_default'");
  }
  absl::StatusOr<std::function<float()>> number = Numbers(options.numbers);
  if (!number.ok()) return number.status();
  Request request;
  for (const auto& [name, info] : found->second.inputs()) {
    if (info.dtype() != tensorflow::DT_FLOAT) {
      return absl::UnimplementedError(absl::StrCat("input '", name, "' has dtype ",
                                                   tensorflow::DataTypeString(info.dtype()),
                                                   "; this program feeds float"));
    }
    tensorflow::TensorShape shape;
    for (int i = 0; i < info.tensor_shape().dim_size(); ++i) {
      int64_t size = info.tensor_shape().dim(i).size();
      if (size < 0 && i > 0) {
        return absl::UnimplementedError(
            absl::StrCat("input '", name,
                         "' has an unknown size other than its first; this program feeds none"));
      }
      if (size < 0) size = options.batch_size;
      if (absl::Status s = shape.AddDimWithStatus(size); !s.ok()) return s;
    }
    Tensor tensor(tensorflow::DT_FLOAT, shape);
    auto values = tensor.flat<float>();
    std::generate(values.data(), values.data() + values.size(), std::ref(*number));
    request.inputs.emplace_back(info.name(), std::move(tensor));
  }
  for (const auto& [name, info] : found->second.outputs()) {
    request.output_names.push_back(name);
    request.outputs.push_back(info.name());
  }
  return request;
}

bool Same(const std::vector<Tensor>& left, const std::vector<Tensor>& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const Tensor& a, const Tensor& b) {
                      return a.dtype() == b.dtype() && a.shape() == b.shape() &&
                             a.tensor_data() == b.tensor_data();
                    });
}

void PrintLatencies(std::vector<double> milliseconds, double seconds, const Options& options) {
  std::sort(milliseconds.begin(), milliseconds.end());
  const size_t count = milliseconds.size();
  const auto percentile = [&](size_t percent) {
    return milliseconds[std::min(count - 1, count * percent / 100)];
  };
  std::printf("latency in ms: p50 %.3f, p90 %.3f, p99 %.3f, max %.3f\n", percentile(50),
              percentile(90), percentile(99), milliseconds.back());
  std::printf("%zu batches of %lld from %lld threads in %.3f s: %.0f batches/s, %.0f rows/s\n",
              count, static_cast<long long>(options.batch_size),
              static_cast<long long>(options.threads), seconds, count / seconds,
              count * options.batch_size / seconds);
}

/// Loads the op libraries and then the model, whose graph names their ops.
absl::Status Load(const Options& options, tensorflow::SavedModelBundleLite* model) {
  if (options.model.empty()) return absl::InvalidArgumentError("--model=FOLDER is missing");
  const std::vector<std::string> paths = absl::StrSplit(options.op_library, ',', absl::SkipEmpty());
  for (const std::string& path : paths) {
    void* handle = nullptr;  // of no use: what the library registers stays
    absl::Status s = tensorflow::Env::Default()->LoadDynamicLibrary(path.c_str(), &handle);
    if (!s.ok()) {
      return absl::Status(s.code(), absl::StrCat("cannot load the op library: ", s.message()));
    }
  }
  absl::Status s = tensorflow::LoadSavedModel(
      tensorflow::SessionOptions(), tensorflow::RunOptions(), options.model, {"serve"}, model);
  if (s.ok()) return s;
  return absl::Status(s.code(),
                      absl::StrCat("cannot load the model ", options.model, ": ", s.message()));
}

absl::Status Serve(const Options& options) {
  if (options.threads < 1 || options.batches < 1 || options.batch_size < 1) {
    return absl::InvalidArgumentError("--threads, --batches and --batch_size must be at least 1");
  }
  tensorflow::SavedModelBundleLite model;
  if (absl::Status s = Load(options, &model); !s.ok()) return s;
  absl::StatusOr<Request> request = MakeRequest(model, options);
  if (!request.ok()) return request.status();

  // The first run loads the TVM libraries; the others are what is measured.
  tensorflow::Session* session = model.GetSession();
  std::vector<Tensor> expected;
  absl::Status status = session->Run(request->inputs, request->outputs, {}, &expected);
  if (!status.ok()) return status;
  for (size_t i = 0; i < expected.size(); ++i) {
    std::printf("%s: %s\n", request->output_names[i].c_str(), expected[i].DebugString(20).c_str());
  }

  std::mutex mutex;                  // guards the next one, and status
  std::vector<double> milliseconds;  // of each batch
  std::atomic<int64_t> left = options.batches;
  const auto work = [&] {
    std::vector<double> times;
    absl::Status failure;
    while (failure.ok() && left.fetch_sub(1) > 0) {
      std::vector<Tensor> outputs;
      const auto start = std::chrono::steady_clock::now();
      failure = session->Run(request->inputs, request->outputs, {}, &outputs);
      const std::chrono::duration<double, std::milli> time =
          std::chrono::steady_clock::now() - start;
      times.push_back(time.count());
      if (failure.ok() && !Same(outputs, expected)) {
        failure = absl::InternalError("the same batch gave two different results");
      }
    }
    std::lock_guard<std::mutex> lock(mutex);
    status.Update(failure);
    milliseconds.insert(milliseconds.end(), times.begin(), times.end());
  };
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < options.threads; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  if (!status.ok()) return status;
  std::printf("all threads gave the same\n");
  PrintLatencies(std::move(milliseconds), time.count(), options);
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  const std::vector<tensorflow::Flag> flags = {
      {"model", &options.model, "the folder of the SavedModel"},
      {"op_library", &options.op_library,
       "the path of _tvm_dso_ops.so, if it is not linked in; for models "
       "that XLA compiles, then a comma and that of _tvm_dso_xla.so"},
      {"numbers", &options.numbers, "what to feed, over and over, as in 1,2.5; random if empty"},
      {"threads", &options.threads, "how many threads call at once"},
      {"batches", &options.batches, "how many batches in all"},
      {"batch_size", &options.batch_size, "the size of the first dimension, where it is unknown"},
  };
  if (!tensorflow::Flags::Parse(&argc, argv, flags) || argc > 1) {
    std::fprintf(stderr, "%s", tensorflow::Flags::Usage(argv[0], flags).c_str());
    return 1;
  }
  if (absl::Status s = Serve(options); !s.ok()) {
    std::fprintf(stderr, "serving_cpp: %s\n", s.ToString().c_str());
    return 1;
  }
  return 0;
}
