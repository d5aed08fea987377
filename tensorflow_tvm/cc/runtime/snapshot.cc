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
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tensorflow_tvm {
namespace {

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U  // Linux 6.3; older kernels refuse the flag and need none
#endif

absl::Status SystemError(absl::string_view what) {
  return absl::InternalError(absl::StrCat(what, ": ", std::strerror(errno)));
}

absl::Status WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return SystemError("cannot write a private copy of the library");
    bytes.remove_prefix(written);
  }
  return absl::OkStatus();
}

int CreateMemoryFile(const std::string& name) {
  const int fd = memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (fd >= 0 || errno != EINVAL) return fd;
  return memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/// Why other users could put something else in the place of what is made in `folder`; "" if they
/// cannot.
std::string Danger(const char* folder) {
  struct stat status;
  if (stat(folder, &status) != 0) return std::strerror(errno);
  if (status.st_uid != 0 && status.st_uid != geteuid()) return "belongs to another user";
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (status.st_mode & S_ISVTX) == 0) {
    return "others may rename what is in it, as it has no sticky bit";
  }
  return "";
}

/// Makes a folder that only this user can enter, with a name that nobody can foresee: where TMPDIR
/// says, else in one of `parents`.
absl::StatusOr<std::string> MakePrivateDirectory(std::initializer_list<const char*> parents) {
  std::vector<const char*> candidates = {getenv("TMPDIR")};
  candidates.insert(candidates.end(), parents);
  std::vector<std::string> tried;
  for (const char* parent : candidates) {
    if (parent == nullptr || *parent == '\0') continue;
    std::string why = Danger(parent);
    if (why.empty()) {
      std::string directory = absl::StrCat(parent, "/tensorflow_tvm-XXXXXX");
      if (mkdtemp(directory.data()) != nullptr) return directory;
      why = std::strerror(errno);
    }
    tried.push_back(absl::StrCat(parent, " (", why, ")"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("no temporary folder can be used: ", absl::StrJoin(tried, ", "),
                   "; set TMPDIR to one of your own"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Snapshot>> Snapshot::Create(absl::string_view bytes,
                                                           absl::string_view stem) {
  auto snapshot = std::unique_ptr<Snapshot>(new Snapshot());
  // A link needs no disk, which may take milliseconds to make a folder and remove it.
  absl::StatusOr<std::string> directory = MakePrivateDirectory({"/dev/shm", "/tmp"});
  if (!directory.ok()) return directory.status();
  snapshot->directory_ = *directory;
  snapshot->path_ = absl::StrCat(*directory, "/", stem, ".so");

  snapshot->fd_ = CreateMemoryFile(std::string(stem.substr(0, 64)));
  if (snapshot->fd_ >= 0) {
    if (absl::Status s = WriteAll(snapshot->fd_, bytes); !s.ok()) return s;
    if (fcntl(snapshot->fd_, F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
      return SystemError("cannot seal the private copy of the library");
    }
    // tvm-ffi picks its loader by the file's extension, which /proc/self/fd/N has not.
    const std::string target = absl::StrCat("/proc/self/fd/", snapshot->fd_);
    if (symlink(target.c_str(), snapshot->path_.c_str()) != 0) {
      return SystemError(absl::StrCat("cannot make a link in ", *directory));
    }
    if (access(snapshot->path_.c_str(), R_OK) != 0) {  // no /proc
      unlink(snapshot->path_.c_str());
      close(snapshot->fd_);
      snapshot->fd_ = -1;
    }
  }
  if (snapshot->fd_ < 0) {
    // Programs are run from /tmp more often than from /dev/shm.
    rmdir(snapshot->directory_.c_str());
    directory = MakePrivateDirectory({"/tmp", "/dev/shm"});
    if (!directory.ok()) return directory.status();
    snapshot->directory_ = *directory;
    snapshot->path_ = absl::StrCat(*directory, "/", stem, ".so");
    snapshot->fd_ = open(snapshot->path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0500);
    if (snapshot->fd_ < 0) return SystemError(absl::StrCat("cannot write ", snapshot->path_));
    if (absl::Status s = WriteAll(snapshot->fd_, bytes); !s.ok()) return s;
  }
  if (!bytes.empty()) {
    // Private: before Linux 6.7 a sealed file could not be mapped shared, not even to be read.
    void* mapping = mmap(nullptr, bytes.size(), PROT_READ, MAP_PRIVATE, snapshot->fd_, 0);
    if (mapping == MAP_FAILED) return SystemError("cannot map the private copy of the library");
    snapshot->mapping_ = mapping;
    snapshot->size_ = bytes.size();
  }
  return snapshot;
}

void Snapshot::RemovePath() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  if (directory_.empty()) return;
  unlink(path_.c_str());
  rmdir(directory_.c_str());
  directory_.clear();
}

Snapshot::~Snapshot() {
  RemovePath();
  if (mapping_ != nullptr) munmap(mapping_, size_);
}

}  // namespace tensorflow_tvm
