#include "provisioner/cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cache/base/fd.h"

namespace senv {

Result<int> print(const std::string& text) {
    SENV_TRY(write_all(STDOUT_FILENO, text).in("cannot write the result"));
    return 0;
}

void say(const std::string& text) {
    std::fprintf(stderr, "senv: %s\n", text.c_str());
}

std::string count(std::uint64_t number, const std::string& thing) {
    return std::to_string(number) + " " + thing + (number == 1 ? "" : "s");
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string out;
    for (const auto& row : rows) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            out += row[i];
            if (i + 1 < row.size()) out.append(widths[i] - row[i].size() + 2, ' ');
        }
        while (out.ends_with(' ')) out.pop_back();
        out += '\n';
    }
    return out;
}

}  // namespace senv
