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

#include "tensorflow_tvm/cc/runtime/snapshot.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow_tvm/cc/runtime/system_error.h"

namespace tensorflow_tvm {
namespace {

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U  // Linux 6.3; older kernels refuse the flag and need none
#endif

absl::Status WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return SystemError("cannot write a private copy of the library", errno);
    bytes.remove_prefix(written);
  }
  return absl::OkStatus();
}

int CreateMemoryFile(const std::string& name) {
  const int fd = memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (fd >= 0 || errno != EINVAL) return fd;
  return memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Snapshot>> Snapshot::Create(absl::string_view bytes,
                                                           absl::string_view stem) {
  auto snapshot = std::unique_ptr<Snapshot>(new Snapshot());
  // A link needs no disk, which may take milliseconds to make a folder and remove it.
  absl::StatusOr<std::unique_ptr<PrivateFolder>> folder = PrivateFolder::Make({"/dev/shm", "/tmp"});
  if (!folder.ok()) return folder.status();
  snapshot->folder_ = *std::move(folder);
  snapshot->path_ = absl::StrCat(snapshot->folder_->path(), "/", stem, ".so");

  snapshot->fd_ = CreateMemoryFile(std::string(stem.substr(0, 64)));
  if (snapshot->fd_ < 0 && (errno == EMFILE || errno == ENFILE)) {
    return NoDescriptorsLeft("cannot make a private copy of the library");
  }
  if (snapshot->fd_ >= 0) {
    if (absl::Status s = WriteAll(snapshot->fd_, bytes); !s.ok()) return s;
    if (fcntl(snapshot->fd_, F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
      return SystemError("cannot seal the private copy of the library", errno);
    }
    // tvm-ffi picks its loader by the file's extension, which /proc/self/fd/N has not.
    const std::string target = absl::StrCat("/proc/self/fd/", snapshot->fd_);
    if (symlink(target.c_str(), snapshot->path_.c_str()) != 0) {
      return SystemError(absl::StrCat("cannot make a link in ", snapshot->folder_->path()), errno);
    }
    if (access(snapshot->path_.c_str(), R_OK) != 0) {  // no /proc
      unlink(snapshot->path_.c_str());
      close(snapshot->fd_);
      snapshot->fd_ = -1;
    }
  }
  if (snapshot->fd_ < 0) {
    // Programs are run from /tmp more often than from /dev/shm.
    snapshot->folder_->Remove();
    folder = PrivateFolder::Make({"/tmp", "/dev/shm"});
    if (!folder.ok()) return folder.status();
    snapshot->folder_ = *std::move(folder);
    snapshot->path_ = absl::StrCat(snapshot->folder_->path(), "/", stem, ".so");
    snapshot->fd_ = open(snapshot->path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0500);
    if (snapshot->fd_ < 0) {
      return SystemError(absl::StrCat("cannot write ", snapshot->path_), errno);
    }
    if (absl::Status s = WriteAll(snapshot->fd_, bytes); !s.ok()) return s;
  }
  if (!bytes.empty()) {
    // Private: before Linux 6.7 a sealed file could not be mapped shared, not even to be read.
    void* mapping = mmap(nullptr, bytes.size(), PROT_READ, MAP_PRIVATE, snapshot->fd_, 0);
    if (mapping == MAP_FAILED) {
      return SystemError("cannot map the private copy of the library", errno);
    }
    snapshot->mapping_ = mapping;
    snapshot->size_ = bytes.size();
  }
  return snapshot;
}

void Snapshot::RemovePath() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  folder_.reset();
}

Snapshot::~Snapshot() {
  RemovePath();
  if (mapping_ != nullptr) munmap(mapping_, size_);
}

}  // namespace tensorflow_tvm
