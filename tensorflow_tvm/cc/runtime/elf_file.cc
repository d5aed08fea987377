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

#include "tensorflow_tvm/cc/runtime/elf_file.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tensorflow_tvm {
namespace {

#if defined(__x86_64__)
constexpr uint16_t kHostMachine = EM_X86_64;
constexpr char kHostMachineName[] = "x86-64";
#elif defined(__aarch64__)
constexpr uint16_t kHostMachine = EM_AARCH64;
constexpr char kHostMachineName[] = "AArch64";
#else
#error "tensorflow_tvm supports Linux on x86-64 and AArch64"
#endif

std::string MachineName(uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_AARCH64:
      return "AArch64";
    case EM_386:
      return "32-bit x86";
    case EM_ARM:
      return "32-bit Arm";
    case EM_RISCV:
      return "RISC-V";
    case EM_PPC64:
      return "PowerPC64";
    default:
      return absl::StrCat("machine number ", machine);
  }
}

/// Bounds-checked reads from a byte string.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}

  bool Contains(uint64_t offset, uint64_t size) const {
    return offset <= bytes_.size() && size <= bytes_.size() - offset;
  }

  template <typename T>
  bool Read(uint64_t offset, T* value) const {
    if (!Contains(offset, sizeof(T))) return false;
    std::memcpy(value, bytes_.data() + offset, sizeof(T));
    return true;
  }

  /// The NUL-terminated string at `offset`, which must end before `limit`.
  bool ReadString(uint64_t offset, uint64_t limit, absl::string_view* value) const {
    limit = std::min<uint64_t>(limit, bytes_.size());
    if (offset >= limit) return false;
    const char* begin = bytes_.data() + offset;
    const void* end = std::memchr(begin, '\0', limit - offset);
    if (end == nullptr) return false;
    *value = absl::string_view(begin, static_cast<const char*>(end) - begin);
    return true;
  }

  uint64_t size() const { return bytes_.size(); }

 private:
  absl::string_view bytes_;
};

absl::Status Damaged(absl::string_view part) {
  return absl::InvalidArgumentError(
      absl::StrCat("it is a damaged shared library (its ", part, " cannot be read)"));
}

absl::Status Truncated(uint64_t expected, uint64_t given) {
  return absl::InvalidArgumentError(absl::StrCat("it is truncated: its headers promise ", expected,
                                                 " bytes, the file has ", given));
}

/// Where the dynamic segment says the tables are; all are addresses but string_size.
struct DynamicTables {
  uint64_t symbols = 0;
  uint64_t strings = 0;
  uint64_t string_size = 0;
  uint64_t gnu_hash = 0;
  uint64_t sysv_hash = 0;
};

class Parser {
 public:
  explicit Parser(absl::string_view bytes) : reader_(bytes) {}

  absl::Status Run(std::vector<ElfSymbol>* symbols) {
    if (absl::Status s = ReadHeaders(); !s.ok()) return s;
    DynamicTables tables;
    if (absl::Status s = ReadDynamicSegment(&tables); !s.ok()) return s;
    uint64_t count = 0;
    if (absl::Status s = CountSymbols(tables, &count); !s.ok()) return s;
    return ReadSymbols(tables, count, symbols);
  }

 private:
  absl::Status ReadHeaders() {
    if (reader_.size() == 0) return absl::InvalidArgumentError("it is empty");
    unsigned char ident[EI_NIDENT];
    const bool has_ident = reader_.Read(0, &ident);
    if (!has_ident || std::memcmp(ident, ELFMAG, SELFMAG) != 0) {
      return absl::InvalidArgumentError("it is not a shared library (no ELF header)");
    }
    if (ident[EI_CLASS] != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB) {
      return absl::InvalidArgumentError(absl::StrCat(
          "it is not a 64-bit little-endian library; this process needs ", kHostMachineName));
    }
    if (!reader_.Read(0, &header_)) return Truncated(sizeof(header_), reader_.size());
    if (header_.e_machine != kHostMachine) {
      return absl::InvalidArgumentError(absl::StrCat(
          "it is built for ", MachineName(header_.e_machine), ", this process runs on ",
          kHostMachineName, "; build it with a TVM target for this machine"));
    }
    if (header_.e_type != ET_DYN) {
      return absl::InvalidArgumentError(
          "it is an ELF file but no shared library (an object file or a program); export it with "
          "export_library(\"….so\")");
    }
    if (header_.e_phentsize != sizeof(Elf64_Phdr)) return Damaged("program headers");
    const uint64_t sections_end = header_.e_shoff + uint64_t{header_.e_shnum} * header_.e_shentsize;
    if (header_.e_shoff != 0 &&
        !reader_.Contains(header_.e_shoff, sections_end - header_.e_shoff)) {
      return Truncated(sections_end, reader_.size());
    }
    for (int i = 0; i < header_.e_phnum; ++i) {
      Elf64_Phdr segment;
      if (!reader_.Read(header_.e_phoff + uint64_t{sizeof(segment)} * i, &segment)) {
        return Damaged("program headers");
      }
      if (segment.p_type == PT_LOAD || segment.p_type == PT_DYNAMIC) {
        if (!reader_.Contains(segment.p_offset, segment.p_filesz)) {
          return Truncated(segment.p_offset + segment.p_filesz, reader_.size());
        }
        if (segment.p_filesz > segment.p_memsz) return Damaged("segments");
      }
      if (segment.p_type == PT_LOAD) loads_.push_back(segment);
      if (segment.p_type == PT_DYNAMIC) dynamic_ = segment;
    }
    if (loads_.empty() || dynamic_.p_filesz == 0) return Damaged("dynamic segment");
    return absl::OkStatus();
  }

  /// Turns an address into an offset in the file.
  bool ToOffset(uint64_t address, uint64_t* offset) const {
    for (const Elf64_Phdr& segment : loads_) {
      if (address >= segment.p_vaddr && address - segment.p_vaddr < segment.p_filesz) {
        *offset = segment.p_offset + (address - segment.p_vaddr);
        return true;
      }
    }
    return false;
  }

  absl::Status ReadDynamicSegment(DynamicTables* tables) const {
    for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= dynamic_.p_filesz; at += sizeof(Elf64_Dyn)) {
      Elf64_Dyn entry;
      if (!reader_.Read(dynamic_.p_offset + at, &entry)) return Damaged("dynamic segment");
      switch (entry.d_tag) {
        case DT_NULL:
          at = dynamic_.p_filesz;
          break;
        case DT_SYMTAB:
          tables->symbols = entry.d_un.d_ptr;
          break;
        case DT_STRTAB:
          tables->strings = entry.d_un.d_ptr;
          break;
        case DT_STRSZ:
          tables->string_size = entry.d_un.d_val;
          break;
        case DT_GNU_HASH:
          tables->gnu_hash = entry.d_un.d_ptr;
          break;
        case DT_HASH:
          tables->sysv_hash = entry.d_un.d_ptr;
          break;
        default:
          break;
      }
    }
    if (tables->symbols == 0 || tables->strings == 0) return Damaged("symbol table");
    return absl::OkStatus();
  }

  /// The dynamic segment gives no symbol count; the hash tables do.
  absl::Status CountSymbols(const DynamicTables& tables, uint64_t* count) const {
    uint64_t offset = 0;
    if (tables.sysv_hash != 0) {
      uint32_t chains = 0;
      if (!ToOffset(tables.sysv_hash, &offset) || !reader_.Read(offset + 4, &chains)) {
        return Damaged("hash table");
      }
      *count = chains;
      return absl::OkStatus();
    }
    uint32_t header[4];  // buckets, first hashed symbol, bloom filter words, bloom shift
    if (tables.gnu_hash == 0 || !ToOffset(tables.gnu_hash, &offset) ||
        !reader_.Read(offset, &header)) {
      return Damaged("hash table");
    }
    const uint64_t buckets = offset + sizeof(header) + uint64_t{header[2]} * sizeof(uint64_t);
    const uint64_t chains = buckets + uint64_t{header[0]} * sizeof(uint32_t);
    uint32_t last = 0;
    for (uint64_t i = 0; i < header[0]; ++i) {
      uint32_t bucket = 0;
      if (!reader_.Read(buckets + i * sizeof(uint32_t), &bucket)) return Damaged("hash table");
      last = std::max(last, bucket);
    }
    if (last < header[1]) {  // nothing is hashed, so nothing is defined
      *count = header[1];
      return absl::OkStatus();
    }
    for (uint32_t chain = 0; (chain & 1) == 0; ++last) {  // the low bit ends a chain
      if (!reader_.Read(chains + uint64_t{last - header[1]} * sizeof(uint32_t), &chain)) {
        return Damaged("hash table");
      }
    }
    *count = last;
    return absl::OkStatus();
  }

  absl::Status ReadSymbols(const DynamicTables& tables, uint64_t count,
                           std::vector<ElfSymbol>* symbols) const {
    uint64_t table = 0;
    uint64_t strings = 0;
    if (!ToOffset(tables.symbols, &table) || !ToOffset(tables.strings, &strings)) {
      return Damaged("symbol table");
    }
    for (uint64_t i = 0; i < count; ++i) {
      Elf64_Sym symbol;
      if (!reader_.Read(table + i * sizeof(symbol), &symbol)) return Damaged("symbol table");
      if (symbol.st_shndx == SHN_UNDEF || symbol.st_name == 0) continue;
      absl::string_view name;
      if (!reader_.ReadString(strings + symbol.st_name, strings + tables.string_size, &name)) {
        return Damaged("string table");
      }
      symbols->push_back({std::string(name), symbol.st_size,
                          ELF64_ST_TYPE(symbol.st_info) == STT_OBJECT,
                          ELF64_ST_BIND(symbol.st_info) == STB_WEAK});
    }
    return absl::OkStatus();
  }

  const Reader reader_;
  Elf64_Ehdr header_{};
  Elf64_Phdr dynamic_{};
  std::vector<Elf64_Phdr> loads_;
};

}  // namespace

absl::StatusOr<ElfFile> ElfFile::Parse(absl::string_view bytes) {
  ElfFile file;
  if (absl::Status s = Parser(bytes).Run(&file.symbols_); !s.ok()) return s;
  return file;
}

const ElfSymbol* ElfFile::Find(absl::string_view name) const {
  auto it = std::find_if(symbols_.begin(), symbols_.end(),
                         [name](const ElfSymbol& symbol) { return symbol.name == name; });
  return it == symbols_.end() ? nullptr : &*it;
}

}  // namespace tensorflow_tvm
