#include "provisioner/pattern.h"

#include <algorithm>
#include <array>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::uint64_t max_bytes = 4000;

bool has_back_reference(std::string_view text) noexcept {
    for (std::size_t i = 0; i + 1 < text.size(); ++i) {
        if (text[i] != '\\') continue;
        if (text[i + 1] >= '1' && text[i + 1] <= '9') return true;
        ++i;
    }
    return false;
}

/// Whether the counts ("{2}", "{1,3}", "{4,}") ask for too many copies of what they stand behind. As if each held for all.
bool asks_for_too_much(std::string_view text) {
    std::uint64_t bytes = text.size();
    bool has_counts = false;
    for (auto begin = text.find('{'); begin != text.npos && bytes <= max_bytes; begin = text.find('{')) {
        has_counts = true;
        text.remove_prefix(begin + 1);
        for (const auto number : split(text.substr(0, text.find('}')), ',')) {
            // What is no number within a count, glibc takes as it is, or refuses.
            bytes *= std::clamp<std::uint64_t>(parse_decimal(number).value_or(1), 1, max_bytes + 1);
        }
    }
    return has_counts && bytes > max_bytes;
}

}  // namespace

void Pattern::Free::operator()(regex_t* compiled) const noexcept {
    ::regfree(compiled);
    delete compiled;
}

Result<Pattern> Pattern::compile(const std::string& text) {
    if (has_back_reference(text)) {
        return Error(Kind::usage, "'" + printable(text) + "' has a back reference, which can take for ever");
    }
    if (asks_for_too_much(text)) return Error(Kind::usage, "the counts in '" + printable(text) + "' ask for too much");
    auto compiled = std::make_unique<regex_t>();
    if (const int code = ::regcomp(compiled.get(), text.c_str(), REG_EXTENDED | REG_NOSUB); code != 0) {
        std::array<char, 256> why = {};
        ::regerror(code, compiled.get(), why.data(), why.size());
        return Error(Kind::usage, "'" + printable(text) + "' is no regular expression: " + why.data());
    }
    return Pattern(std::unique_ptr<regex_t, Free>(compiled.release()));
}

bool Pattern::matches(const std::string& text) const noexcept {
    return ::regexec(compiled_.get(), text.c_str(), 0, nullptr, 0) == 0;
}

}  // namespace senv
