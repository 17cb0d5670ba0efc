#include "provisioner/record.h"

#include <algorithm>
#include <set>

#include "cache/base/text.h"
#include "cache/formats/store_path.h"

namespace senv {

namespace {

constexpr std::string_view pure_word = "pure=";

Error bad(const std::string& cause) {
    return Error(Kind::corrupt,
                 std::string("cannot read the record of an environment in ") + entered_variable + ": " + cause)
        .hint(std::string("unset ") + entered_variable + " where the step is started");
}

Error too_large(const std::string& has, std::size_t limit) {
    return {Kind::corrupt, std::string("cannot write the record of an environment to ") + entered_variable +
                               ": it would have " + has + ", the limit is " + std::to_string(limit)};
}

std::string hex(std::string_view bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        text += {digits[byte >> 4U], digits[byte & 15U]};
    }
    return text;
}

std::optional<std::string> from_hex(std::string_view text) {
    if (text.size() % 2 != 0) return std::nullopt;
    std::string bytes;
    for (std::size_t i = 0; i < text.size(); i += 2) {
        const auto high = std::string_view("0123456789abcdef").find(text[i]);
        const auto low = std::string_view("0123456789abcdef").find(text[i + 1]);
        if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
        bytes += static_cast<char>(high * 16 + low);
    }
    return bytes;
}

Result<Record::Entered> parse_entered(std::string_view word) {
    const auto colon = word.find(':');
    if (colon == 0 || colon == std::string_view::npos)
        return bad("want NAME:SEPARATORS, found '" + printable(word) + "'");
    auto separators = from_hex(word.substr(colon + 1));
    if (!separators) return bad("bad separators in '" + printable(word) + "'");
    return Record::Entered{std::string(word.substr(0, colon)), *std::move(separators)};
}

}  // namespace

Result<Record> Record::parse(std::string_view text) {
    if (text.size() > max_record_bytes) {
        return bad("it has " + std::to_string(text.size()) + " bytes, the limit is " +
                   std::to_string(max_record_bytes));
    }
    const auto words = split(text, ' ');
    if (!StorePath::parse_absolute(words[0])) return bad("bad profile '" + printable(words[0]) + "'");
    Record record{std::string(words[0]), std::nullopt, {}};
    std::set<std::string_view> names;
    for (std::size_t i = 1; i < words.size(); ++i) {
        if (i == 1 && words[i].starts_with(pure_word)) {
            record.pure = words[i].substr(pure_word.size());
            continue;
        }
        if (names.size() == max_record_names)
            return bad("it has more than " + std::to_string(max_record_names) + " names");
        record.entered.push_back(SENV_TRY(parse_entered(words[i])));
        if (!names.insert(words[i].substr(0, words[i].find(':'))).second) {
            return bad("it has '" + printable(record.entered.back().name) + "' twice");
        }
    }
    return record;
}

Result<std::string> Record::encode() const {
    if (entered.size() > max_record_names)
        return too_large(std::to_string(entered.size()) + " names", max_record_names);
    std::string text = profile;
    if (pure) text.append(" ").append(pure_word).append(*pure);
    for (const auto& [name, separators] : entered) text.append(" ").append(name).append(":").append(hex(separators));
    if (text.size() > max_record_bytes) return too_large(std::to_string(text.size()) + " bytes", max_record_bytes);
    return text;
}

}  // namespace senv
