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

#include "tensorflow_tvm/cc/runtime/library.h"

#include <dlfcn.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/log/check.h"
#include "absl/strings/match.h"
#include "tensorflow_tvm/cc/runtime/elf_file.h"
#include "tensorflow_tvm/cc/runtime/sha256.h"
#include "tensorflow_tvm/cc/runtime/snapshot.h"
#include "tvm/ffi/c_api.h"

namespace tensorflow_tvm {
namespace {

std::string ReadFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// The file that holds `function`: any real shared library.
std::string LibraryOf(void* function) {
  Dl_info info;
  CHECK_NE(dladdr(function, &info), 0);
  return ReadFile(info.dli_fname);
}

void TestDigest() {
  // FIPS 180-2, appendix B.1.
  CHECK_EQ(Sha256Digest("abc"),
           "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

void TestElfOfARealLibrary() {
  const std::string bytes = LibraryOf(reinterpret_cast<void*>(&TVMFFIFunctionCall));
  absl::StatusOr<ElfFile> file = ElfFile::Parse(bytes);
  CHECK_OK(file);
  CHECK(file->Find("TVMFFIFunctionCall") != nullptr);
  CHECK(file->Find("TVMFFIFunctionCall")->is_function);
  CHECK(file->Find("malloc") == nullptr);  // used, not defined
}

void TestElfCutAnywhere() {
  const std::string bytes = LibraryOf(reinterpret_cast<void*>(&TVMFFIFunctionCall));
  for (size_t size = 0; size < bytes.size(); size += 1 + size / 50) {
    const absl::Status status = ElfFile::Parse(absl::string_view(bytes).substr(0, size)).status();
    CHECK(absl::IsInvalidArgument(status)) << size << " of " << bytes.size();
  }
}

void TestElfWithEachHeaderByteChanged() {
  // Any answer will do; the parser must not read elsewhere (run under the address sanitizer).
  std::string bytes = LibraryOf(reinterpret_cast<void*>(&TVMFFIFunctionCall));
  for (size_t i = 0; i < 1024; ++i) {
    for (int change : {0x01, 0x80, 0xff}) {
      bytes[i] ^= change;
      ElfFile::Parse(bytes).status().IgnoreError();
      bytes[i] ^= change;
    }
  }
}

void TestSnapshot() {
  const std::string content = "some bytes";
  auto snapshot = Snapshot::Create(content, "stem");
  CHECK_OK(snapshot);
  const std::string path = (*snapshot)->path();
  CHECK(absl::EndsWith(path, "/stem.so"));
  CHECK_EQ(ReadFile(path.c_str()), content);
  CHECK(!std::ofstream(path, std::ios::binary | std::ios::app).put('x').flush().good());
  CHECK_EQ((*snapshot)->bytes(), content);
  (*snapshot)->RemovePath();
  CHECK(!std::ifstream(path).good());
  CHECK_EQ((*snapshot)->bytes(), content);
  CHECK_NE((*Snapshot::Create(content, "stem"))->path(), path);
}

void TestSnapshotWithoutDescriptors() {
  rlimit before;
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = dup(0);
  CHECK_GE(next, 0);
  close(next);
  // One is for the folder, one for the copy.
  for (int left = 0; left < 3; ++left) {
    const rlimit limit = {static_cast<rlim_t>(next + left), before.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    const absl::Status status = Snapshot::Create("some bytes", "stem").status();
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_EQ(status.ok(), left == 2) << status;
    if (left == 2) continue;
    CHECK(absl::IsResourceExhausted(status) &&
          absl::StrContains(status.message(), "no file descriptors are left"))
        << status;
  }
}

void TestRegistry(const char* path) {
  const std::string bytes = ReadFile(path);
  LibraryRegistry* registry = LibraryRegistry::Global();
  const std::string digest = Sha256Digest(bytes);
  CHECK(registry->Find(digest) == nullptr);

  absl::Status status = registry->Load(bytes, "name.so", "sha256:00").status();
  CHECK(absl::IsInvalidArgument(status) && absl::StrContains(status.message(), digest)) << status;
  CHECK_EQ(registry->size(), 0);

  absl::StatusOr<LibraryPtr> library = registry->Load(bytes, "name.so", digest);
  CHECK_OK(library);
  CHECK_EQ((*library)->digest(), digest);
  CHECK_EQ((*library)->bytes(), bytes);
  CHECK((*library)->functions() == std::vector<std::string>{"answer"});
  CHECK(registry->Load(bytes, "other.so")->get() == library->get());
  CHECK_EQ(registry->size(), 1);

  absl::StatusOr<LibraryFunction> function = (*library)->GetFunction("answer");
  CHECK_OK(function);
  TVMFFIAny result;
  CHECK_EQ(function->call(function->self, nullptr, 0, &result), 0);
  CHECK_EQ(result.v_int64, 42);
  status = (*library)->GetFunction("no_such").status();
  CHECK(absl::IsNotFound(status));
  CHECK(absl::StrContains(status.message(), "answer")) << status;

  library->reset();
  CHECK(registry->Find(digest) == nullptr);  // it owns nothing
  CHECK_EQ(registry->size(), 0);
}

}  // namespace
}  // namespace tensorflow_tvm

int main(int argc, char** argv) {
  using namespace tensorflow_tvm;  // NOLINT: a test's main
  TestDigest();
  TestElfOfARealLibrary();
  TestElfCutAnywhere();
  TestElfWithEachHeaderByteChanged();
  TestSnapshot();
  TestSnapshotWithoutDescriptors();
  CHECK_EQ(argc, 2) << "expected the path of testdata/answer.cc, built as a shared library";
  TestRegistry(argv[1]);
  return 0;
}
