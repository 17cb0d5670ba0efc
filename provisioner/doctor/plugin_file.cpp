#include "provisioner/doctor/plugin_file.h"

#include <elf.h>
#include <link.h>

#include <cstring>
#include <optional>

#include "cache/base/fd.h"

namespace senv {

namespace {

constexpr std::size_t max_plugin_bytes = std::size_t{64} << 20U;

/// The bytes of a file, of which any place may be asked for.
class Bytes {
public:
    explicit Bytes(std::string_view all) : all_(all) {}

    template <class T>
    std::optional<T> at(std::uint64_t offset) const {
        T value{};
        if (offset > all_.size() || all_.size() - offset < sizeof value) return std::nullopt;
        std::memcpy(&value, all_.data() + offset, sizeof value);
        return value;
    }
    /// The i-th of an array of them.
    template <class T>
    std::optional<T> element(std::uint64_t begin, std::uint64_t i) const {
        if (begin > all_.size() || i > all_.size() / sizeof(T)) return std::nullopt;
        return at<T>(begin + i * sizeof(T));
    }
    /// The text that ends with a NUL.
    std::string_view text(std::uint64_t offset) const {
        if (offset >= all_.size()) return {};
        const std::string_view rest = all_.substr(offset);
        return rest.substr(0, rest.find('\0'));
    }

private:
    std::string_view all_;
};

using Header = ElfW(Ehdr);
using Section = ElfW(Shdr);
using Segment = ElfW(Phdr);
using Symbol = ElfW(Sym);

std::optional<Symbol> exported(const Bytes& file, const Header& header, std::string_view name) {
    for (unsigned i = 0; i < header.e_shnum; ++i) {
        const auto section = file.element<Section>(header.e_shoff, i);
        if (!section || section->sh_type != SHT_DYNSYM) continue;
        const auto names = file.element<Section>(header.e_shoff, section->sh_link);
        if (!names) return std::nullopt;
        for (std::uint64_t k = 0; k < section->sh_size / sizeof(Symbol); ++k) {
            const auto symbol = file.element<Symbol>(section->sh_offset, k);
            if (!symbol) return std::nullopt;
            if (file.text(names->sh_offset + symbol->st_name) == name) return symbol;
        }
    }
    return std::nullopt;
}

/// Where in the file the byte is that is loaded at `address`.
std::optional<std::uint64_t> offset_of(const Bytes& file, const Header& header, std::uint64_t address) {
    for (unsigned i = 0; i < header.e_phnum; ++i) {
        const auto segment = file.element<Segment>(header.e_phoff, i);
        if (!segment || segment->p_type != PT_LOAD || address < segment->p_vaddr) continue;
        if (address - segment->p_vaddr < segment->p_filesz) return segment->p_offset + (address - segment->p_vaddr);
    }
    return std::nullopt;
}

std::string two_digits(unsigned number) {
    return (number < 10 ? "0" : "") + std::to_string(number);
}

}  // namespace

Result<std::string> slurm_series_of(const std::string& plugin) {
    const std::string all = SENV_TRY(read_small_file(plugin, max_plugin_bytes));
    const Bytes file(all);
    const auto header = file.at<Header>(0);
    constexpr unsigned char own_class = sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32;
    if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != own_class) {
        return Error(Kind::corrupt, "'" + plugin + "' is no library for this machine");
    }
    const auto symbol = exported(file, *header, "plugin_version");
    const auto offset = symbol ? offset_of(file, *header, symbol->st_value) : std::nullopt;
    const auto version = offset ? file.at<std::uint32_t>(*offset) : std::nullopt;
    if (!version) return Error(Kind::corrupt, "'" + plugin + "' is no Slurm plugin: it has no plugin_version");
    return two_digits(*version >> 16U & 0xffU) + "." + two_digits(*version >> 8U & 0xffU);
}

}  // namespace senv
