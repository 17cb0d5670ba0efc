#include "tests/support/golden.h"

#include <cctype>
#include <ostream>

#include "cache/base/fd.h"
#include "cache/base/text.h"

namespace senv::test {

std::string golden_path(const std::string& name) {
    return std::string(SENV_GOLDEN) + "/" + name;
}

std::string golden(const std::string& name) {
    constexpr std::size_t more_than_any = 1U << 24U;
    return read_small_file(golden_path(name), more_than_any).value();
}

void PrintTo(const Row& row, std::ostream* out) {
    *out << join(row.fields, " | ");
}

std::vector<Row> golden_rows(const std::string& name) {
    const std::string text = golden(name);
    std::vector<Row> rows;
    for (const std::string_view line : split(text, '\n')) {
        if (line.empty() || line.front() == '#') continue;
        Row row;
        for (const std::string_view field : split(line, '\t')) row.fields.emplace_back(field);
        rows.push_back(std::move(row));
    }
    return rows;
}

std::string RowName::test_name(const std::string& field) {
    std::string name;
    for (const char c : field) name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
    return name;
}

}  // namespace senv::test
