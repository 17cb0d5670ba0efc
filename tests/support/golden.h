// golden.h: the files below tests/golden and the tables beside them.
//
// Shape    expected.tsv: lines of fields between tabs; a line that begins with '#' names them.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace senv::test {

/// The bytes of tests/golden/NAME. A file that is not there is a mistake of the test: throws.
std::string golden(const std::string& name);
/// Its full path.
std::string golden_path(const std::string& name);

/// One line of a table. The first field names it.
struct Row {
    std::vector<std::string> fields;

    const std::string& operator[](std::size_t i) const { return fields.at(i); }
};
void PrintTo(const Row& row, std::ostream* out);

std::vector<Row> golden_rows(const std::string& name);

/// The first field as GoogleTest wants names: letters, digits and '_'.
struct RowName {
    template <class Info>
    std::string operator()(const Info& info) const {
        return test_name(info.param[0]);
    }
    static std::string test_name(const std::string& field);
};

}  // namespace senv::test
