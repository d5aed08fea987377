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

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
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

constexpr int64_t kRelrSize = 35;  // DT_RELRSZ and DT_RELR are younger than some <elf.h>
constexpr int64_t kRelr = 36;

class Parser {
 public:
  explicit Parser(absl::string_view bytes) : reader_(bytes) {}

  absl::Status Run(std::vector<ElfSymbol>* symbols, bool* registers, bool* may_allocate) {
    if (absl::Status s = ReadHeaders(); !s.ok()) return s;
    if (!AreSegmentsSound()) return Damaged("program headers");
    if (!ReadDynamicSegment()) return Damaged("dynamic segment");
    if (!AreTablesSound()) return Damaged("dynamic segment");
    if (!CountSymbols()) return Damaged("hash table");
    *may_allocate = Has(DT_NEEDED);  // which may do it for the library; TVM's need none
    if (!ReadSymbols(symbols, registers, may_allocate)) return Damaged("symbol table");
    if (!AreRelocationsSound(DT_RELA, DT_RELASZ) || !AreRelocationsSound(DT_JMPREL, DT_PLTRELSZ)) {
      return Damaged("relocations");
    }
    return absl::OkStatus();
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
    const uint64_t sections_size = uint64_t{header_.e_shnum} * header_.e_shentsize;
    if (header_.e_shoff != 0 && !reader_.Contains(header_.e_shoff, sections_size)) {
      return Truncated(header_.e_shoff + sections_size, reader_.size());
    }
    for (int i = 0; i < header_.e_phnum; ++i) {
      Elf64_Phdr segment;
      if (!reader_.Read(header_.e_phoff + uint64_t{sizeof(segment)} * i, &segment)) {
        return Damaged("program headers");
      }
      if (segment.p_type == PT_LOAD && !reader_.Contains(segment.p_offset, segment.p_filesz)) {
        return Truncated(segment.p_offset + segment.p_filesz, reader_.size());
      }
      segments_.push_back(segment);
      if (segment.p_type == PT_LOAD) loads_.push_back(segment);
      if (segment.p_type == PT_DYNAMIC) dynamic_ = segment;
    }
    return absl::OkStatus();
  }

  /// Whether `size` bytes at `address` lie in a segment that has all of `flags`.
  bool InMemory(uint64_t address, uint64_t size, uint32_t flags) const {
    return std::any_of(loads_.begin(), loads_.end(), [=](const Elf64_Phdr& load) {
      return (load.p_flags & flags) == flags && address >= load.p_vaddr && size <= load.p_memsz &&
             address - load.p_vaddr <= load.p_memsz - size;
    });
  }

  /// Whether the loader, after relocation, makes the memory at `address` read-only.
  bool IsMadeReadOnly(uint64_t address) const {
    return std::any_of(segments_.begin(), segments_.end(), [=](const Elf64_Phdr& segment) {
      return segment.p_type == PT_GNU_RELRO && address >= segment.p_vaddr &&
             address - segment.p_vaddr < segment.p_memsz;
    });
  }

  /// Turns `size` bytes at `address` into their offset in the file.
  bool ToOffset(uint64_t address, uint64_t size, uint64_t* offset) const {
    for (const Elf64_Phdr& load : loads_) {
      if (address >= load.p_vaddr && size <= load.p_filesz &&
          address - load.p_vaddr <= load.p_filesz - size) {
        *offset = load.p_offset + (address - load.p_vaddr);
        return true;
      }
    }
    return false;
  }

  bool AreSegmentsSound() const {
    constexpr uint64_t kPage = 4096;
    constexpr uint64_t kLargestAddress = uint64_t{1} << 40;
    uint64_t end = 0;
    for (const Elf64_Phdr& load : loads_) {
      if ((load.p_flags & PF_R) == 0 || load.p_filesz > load.p_memsz || load.p_vaddr < end ||
          load.p_vaddr > kLargestAddress || load.p_memsz > kLargestAddress ||
          (load.p_vaddr - load.p_offset) % kPage != 0) {
        return false;
      }
      end = load.p_vaddr + load.p_memsz;
    }
    if (loads_.empty() || dynamic_.p_filesz == 0) return false;
    for (const Elf64_Phdr& segment : segments_) {
      uint64_t offset = 0;
      switch (segment.p_type) {
        case PT_PHDR:
          if (!ToOffset(segment.p_vaddr, segment.p_memsz, &offset) || offset != header_.e_phoff) {
            return false;
          }
          break;
        case PT_DYNAMIC:
          if (!InMemory(segment.p_vaddr, segment.p_memsz, PF_R | PF_W) ||
              !ToOffset(segment.p_vaddr, segment.p_filesz, &offset) || offset != segment.p_offset) {
            return false;
          }
          break;
        case PT_GNU_RELRO:
          if (!InMemory(segment.p_vaddr, segment.p_memsz, PF_R | PF_W)) return false;
          break;
        case PT_TLS:
        case PT_NOTE:
        case PT_GNU_EH_FRAME:
        case 0x6474e553:  // PT_GNU_PROPERTY
          if (!ToOffset(segment.p_vaddr, segment.p_filesz, &offset)) return false;
          if (segment.p_memsz > kLargestAddress || segment.p_filesz > segment.p_memsz) return false;
          break;
        default:
          break;
      }
    }
    return true;
  }

  bool ReadDynamicSegment() {
    for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= dynamic_.p_filesz; at += sizeof(Elf64_Dyn)) {
      Elf64_Dyn entry;
      if (!reader_.Read(dynamic_.p_offset + at, &entry)) return false;
      if (entry.d_tag == DT_NULL) return true;
      if (IsName(entry.d_tag)) names_.push_back(entry.d_un.d_val);
      tags_[entry.d_tag] = entry.d_un.d_val;
    }
    return false;  // the loader reads on until it finds the end
  }

  static bool IsName(int64_t tag) {
    return tag == DT_NEEDED || tag == DT_SONAME || tag == DT_RPATH || tag == DT_RUNPATH;
  }

  uint64_t Tag(int64_t tag) const {
    auto it = tags_.find(tag);
    return it == tags_.end() ? 0 : it->second;
  }

  bool Has(int64_t tag) const { return tags_.contains(tag); }

  /// Whether a table, if there is one, is whole and made of entries of the size that it must have.
  bool IsTableSound(int64_t address_tag, int64_t size_tag, uint64_t entry, uint32_t flags) const {
    if (Has(address_tag) != Has(size_tag)) return false;
    if (!Has(address_tag)) return true;
    return Tag(size_tag) % entry == 0 && InMemory(Tag(address_tag), Tag(size_tag), flags);
  }

  bool IsAddressSound(int64_t tag, uint64_t size, uint32_t flags) const {
    return !Has(tag) || InMemory(Tag(tag), size, flags);
  }

  bool AreTablesSound() const {
    const auto is_entry_size = [this](int64_t tag, uint64_t size) {
      return !Has(tag) || Tag(tag) == size;
    };
    const uint64_t relocation = sizeof(Elf64_Rela);
    return Has(DT_SYMTAB) && Has(DT_STRTAB) && Has(DT_STRSZ) &&
           (Has(DT_HASH) || Has(DT_GNU_HASH)) && !Has(DT_REL) &&  // all use DT_RELA
           is_entry_size(DT_SYMENT, sizeof(Elf64_Sym)) && is_entry_size(DT_RELAENT, relocation) &&
           is_entry_size(DT_PLTREL, DT_RELA) && Has(DT_RELA) == Has(DT_RELAENT) &&
           Has(DT_JMPREL) == Has(DT_PLTREL) && Tag(DT_RELACOUNT) <= Tag(DT_RELASZ) / relocation &&
           IsTableSound(DT_STRTAB, DT_STRSZ, 1, PF_R) &&
           IsTableSound(DT_RELA, DT_RELASZ, relocation, PF_R) &&
           IsTableSound(DT_JMPREL, DT_PLTRELSZ, relocation, PF_R) &&
           IsTableSound(kRelr, kRelrSize, 8, PF_R) &&
           IsTableSound(DT_INIT_ARRAY, DT_INIT_ARRAYSZ, 8, PF_R) &&
           IsTableSound(DT_FINI_ARRAY, DT_FINI_ARRAYSZ, 8, PF_R) &&
           IsAddressSound(DT_INIT, 1, PF_X) && IsAddressSound(DT_FINI, 1, PF_X) &&
           IsAddressSound(DT_PLTGOT, 24, PF_R) && IsAddressSound(DT_SYMTAB, 24, PF_R) &&
           IsAddressSound(DT_HASH, 8, PF_R) && IsAddressSound(DT_GNU_HASH, 16, PF_R) &&
           IsAddressSound(DT_VERSYM, 2, PF_R) && IsAddressSound(DT_VERNEED, 16, PF_R) &&
           IsAddressSound(DT_VERDEF, 20, PF_R) && AreNamesSound();
  }

  bool AreNamesSound() const {
    absl::string_view name;
    return std::all_of(names_.begin(), names_.end(),
                       [&](uint64_t start) { return ReadName(start, &name); });
  }

  /// The entry of the string table that starts at `start`.
  bool ReadName(uint64_t start, absl::string_view* name) const {
    uint64_t strings = 0;
    const uint64_t size = Tag(DT_STRSZ);
    return ToOffset(Tag(DT_STRTAB), size, &strings) && start < size &&
           reader_.ReadString(strings + start, strings + size, name);
  }

  /// The dynamic segment gives no symbol count; the hash tables do.
  bool CountSymbols() {
    uint64_t offset = 0;
    if (Has(DT_HASH)) {
      uint32_t sizes[2];  // buckets, chains: one for each symbol
      if (!ToOffset(Tag(DT_HASH), sizeof(sizes), &offset) || !reader_.Read(offset, &sizes) ||
          !InMemory(Tag(DT_HASH), sizeof(sizes) + 4 * (uint64_t{sizes[0]} + sizes[1]), PF_R)) {
        return false;
      }
      if (!AreHashChainsSound(offset, sizes[0], sizes[1])) return false;
      symbol_count_ = sizes[1];
      if (!Has(DT_GNU_HASH)) return true;
    }
    uint32_t header[4];  // buckets, first hashed symbol, bloom filter words, bloom shift
    if (!ToOffset(Tag(DT_GNU_HASH), sizeof(header), &offset) || !reader_.Read(offset, &header)) {
      return false;
    }
    const auto [bucket_count, first, bloom_words, bloom_shift] = header;
    if (bucket_count == 0 || bloom_words == 0 || (bloom_words & (bloom_words - 1)) != 0) {
      return false;
    }
    const uint64_t buckets = offset + sizeof(header) + uint64_t{bloom_words} * sizeof(uint64_t);
    const uint64_t chains = buckets + uint64_t{bucket_count} * sizeof(uint32_t);
    uint32_t last = 0;
    for (uint64_t i = 0; i < bucket_count; ++i) {
      uint32_t bucket = 0;
      if (!reader_.Read(buckets + i * sizeof(bucket), &bucket)) return false;
      if (bucket != 0 && bucket < first) return false;
      last = std::max(last, bucket);
    }
    uint64_t count = 0;  // where nothing is hashed, nothing is defined
    if (last != 0) {
      count = last;
      for (uint32_t chain = 0; (chain & 1) == 0; ++count) {  // the low bit ends a chain
        if (!reader_.Read(chains + (count - first) * sizeof(chain), &chain)) return false;
      }
    }
    symbol_count_ = std::max(symbol_count_, count);
    return true;
  }

  /// Whether each chain of a DT_HASH table at `offset` ends.
  bool AreHashChainsSound(uint64_t offset, uint64_t buckets, uint64_t chains) const {
    const uint64_t heads = offset + 2 * sizeof(uint32_t);
    uint64_t visited = 0;
    for (uint64_t i = 0; i < buckets; ++i) {
      uint32_t symbol = 0;
      if (!reader_.Read(heads + i * sizeof(symbol), &symbol)) return false;
      while (symbol != STN_UNDEF) {
        if (symbol >= chains || ++visited > chains ||
            !reader_.Read(heads + (buckets + symbol) * sizeof(symbol), &symbol)) {
          return false;
        }
      }
    }
    return buckets != 0;
  }

  /// Reads the symbols; `registers` becomes true if one of tvm-ffi's registration functions is
  /// used, `may_allocate` if one that may allocate a tensor.
  bool ReadSymbols(std::vector<ElfSymbol>* symbols, bool* registers, bool* may_allocate) const {
    uint64_t table = 0;
    if (symbol_count_ > reader_.size() ||
        !ToOffset(Tag(DT_SYMTAB), symbol_count_ * sizeof(Elf64_Sym), &table)) {
      return false;
    }
    for (uint64_t i = 0; i < symbol_count_; ++i) {
      Elf64_Sym symbol;
      absl::string_view name;
      if (!reader_.Read(table + i * sizeof(symbol), &symbol) || !ReadName(symbol.st_name, &name)) {
        return false;
      }
      if (symbol.st_shndx == SHN_UNDEF || name.empty()) {
        *registers |= absl::StartsWith(name, "TVMFFIFunctionSetGlobal") ||
                      absl::StartsWith(name, "TVMFFITypeRegister");
        *may_allocate |= absl::StartsWith(name, "TVMFFIEnv") ||
                         absl::StartsWith(name, "TVMFFIFunction") ||
                         absl::StartsWith(name, "_Z") || name == "dlsym";
        continue;
      }
      const int type = ELF64_ST_TYPE(symbol.st_info);
      ElfSymbol& result = symbols->emplace_back();
      result.name = std::string(name);
      result.size = symbol.st_size;
      if (uint64_t at = 0; ToOffset(symbol.st_value, symbol.st_size, &at)) result.offset = at;
      result.is_function = (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE) &&
                           InMemory(symbol.st_value, 1, PF_X);
      result.is_variable = type == STT_OBJECT &&
                           InMemory(symbol.st_value, symbol.st_size, PF_R | PF_W) &&
                           !IsMadeReadOnly(symbol.st_value);
      result.is_weak = ELF64_ST_BIND(symbol.st_info) == STB_WEAK;
    }
    return true;
  }

  /// Whether the loader, when it applies these relocations, writes only where it may.
  bool AreRelocationsSound(int64_t address_tag, int64_t size_tag) const {
    uint64_t offset = 0;
    const uint64_t size = Tag(size_tag);
    if (size == 0) return true;
    if (!ToOffset(Tag(address_tag), size, &offset)) return false;
    for (uint64_t at = 0; at < size; at += sizeof(Elf64_Rela)) {
      Elf64_Rela relocation;
      if (!reader_.Read(offset + at, &relocation) ||
          !InMemory(relocation.r_offset, 8, PF_R | PF_W) ||
          (symbol_count_ != 0 && ELF64_R_SYM(relocation.r_info) >= symbol_count_)) {
        return false;
      }
    }
    return true;
  }

  const Reader reader_;
  Elf64_Ehdr header_{};
  Elf64_Phdr dynamic_{};
  std::vector<Elf64_Phdr> segments_;
  std::vector<Elf64_Phdr> loads_;
  absl::flat_hash_map<int64_t, uint64_t> tags_;
  std::vector<uint64_t> names_;
  uint64_t symbol_count_ = 0;
};

}  // namespace

absl::StatusOr<ElfFile> ElfFile::Parse(absl::string_view bytes) {
  ElfFile file;
  if (absl::Status s = Parser(bytes).Run(&file.symbols_, &file.registers_globals_, &file.may_allocate_tensors_); !s.ok())
    return s;
  return file;
}

const ElfSymbol* ElfFile::Find(absl::string_view name) const {
  auto it = std::find_if(symbols_.begin(), symbols_.end(),
                         [name](const ElfSymbol& symbol) { return symbol.name == name; });
  return it == symbols_.end() ? nullptr : &*it;
}

}  // namespace tensorflow_tvm
